"""Writer and buffer from Python, for scripts and notebooks: no call needs an event loop, and none minds one that runs."""

from sf_bsread_writer.client.writer import Writer

__all__ = ["Writer"]
