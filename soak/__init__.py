"""The whole chain under faults for as long as one likes, every value of every file compared: ``python -m soak`` or ``make soak``.

A source whose values follow from the pulse id alone sends at 100 Hz, and writes down what it has sent. Acquisitions of all kinds
come and go, while faults are made at random, out of one seed. Every pulse that was asked for must be in its file with the right
values, or its absence must be explained by what the source wrote down and by what was done to the programs.

source        the source, a process of its own, and its record of what it has sent
stream        what it sends: channels, headers, times
beamline      source and buffer as running programs, and what was done to them
faults        what is done to them and to the buffer's other clients
acquisitions  what is asked of writers, and what is done to those
recovery      a killed writer's file
checker       every value of a file against the stream
ledger        asked for, written, explained, unexplained
watch         memory and descriptors of the buffer
verdict       the table and the JSON file
run           all of it together
"""
