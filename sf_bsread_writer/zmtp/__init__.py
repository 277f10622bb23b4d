"""The wire: ZMTP 3.0/3.1 frames and handshake, and the two ends of a connection.

Bytes to values, without a socket: ``frames`` and ``handshake`` (RFC 23 and RFC 37 of rfc.zeromq.org, mechanism NULL),
``extension`` (what our own buffer and writer say to each other inside ZMTP) and ``address``. Sockets: ``peer`` connects (to what
``resolve`` finds), ``listener`` accepts; both hand over a `Connection` after the handshake, which they carry out with
``connection``, and never read its traffic.
"""
