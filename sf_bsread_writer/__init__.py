"""Keeps the last pulses of a bsread stream, and writes exactly the pulses asked for to HDF5.

The folders are the road that a pulse takes::

    source ──TCP──▶ zmtp ──▶ relay.ingest ──▶ ring ──▶ relay.replay ──TCP──▶ zmtp ──▶ acquire ──▶ message ──▶ hdf5 ──▶ file
     (bsread)              one connection     bytes    one cursor per client         range+state  columns     chunks
                           never decodes                                            rest looks on from the side

- ``zmtp``      the wire: frames and handshake of ZMTP 3.x; connecting and listening peers
- ``message``   one bsread message: headers, frame layout, types, compression
- ``ring``      received bytes in recycled segments, with an index row for each message
- ``relay``     source → ring → any number of clients: the program ``sf_bsread_buffer``
- ``acquire``   pulses → range → report: the program ``sf_bsread_writer``
- ``hdf5``      rows → columns → chunks → one file
- ``rest``      the writer's HTTP face
- ``simulator`` a bsread source of our own
- ``client``    writer and buffer from Python
- ``cli``       the program ``sf_bsread``: simulate, check, demo
"""

__version__ = "0.1.0"
