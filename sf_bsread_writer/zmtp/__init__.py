"""The wire: ZMTP 3.0/3.1 frames and handshake, and the two ends of a connection."""
