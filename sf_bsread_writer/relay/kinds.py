"""What can be seen of which channel: a scalar has a trend, a waveform a trace, an image a picture. Pure."""

from typing import Literal, TypeAlias

from sf_bsread_writer.errors import UsageError
from sf_bsread_writer.message.headers import Channel

Kind: TypeAlias = Literal["text", "scalar", "waveform", "image"]

_SHOWN_BY = {
    "text": "GET /channels has its last value",
    "scalar": "GET /trend shows it",
    "waveform": "GET /trace shows it",
    "image": "GET /image shows it",
}


def kind_of(channel: Channel) -> Kind:
    """By its type and its number of dimensions; an image has two or more."""
    if channel.is_string:
        return "text"
    return ("scalar", "waveform", "image")[min(len(channel.shape), 2)]


def check_kind(channel: Channel, wanted: Kind) -> None:
    """Raises `UsageError`, which says where this channel is shown, if it is of another kind."""
    kind = kind_of(channel)
    if kind != wanted:
        article = {"image": "an"}
        shape = f" of shape {list(channel.shape)}" if channel.shape else ""
        text = f"channel {channel.name!r:.200} is {article.get(kind, 'a')} {kind}{shape}, not {article.get(wanted, 'a')} {wanted}"
        raise UsageError(f"{text}; {_SHOWN_BY[kind]}")
