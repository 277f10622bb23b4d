"""Writer and buffer from Python, for scripts and notebooks: no call needs an event loop, and none minds one that runs."""

from sf_bsread_writer.client.buffer import Buffer, Messages
from sf_bsread_writer.client.message import Message
from sf_bsread_writer.client.writer import Writer

__all__ = ["Buffer", "Message", "Messages", "Writer"]
