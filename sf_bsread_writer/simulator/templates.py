"""Messages of one header with their values left open: one template for each set of channels that are present. Pure.

A template is cut out of the frames of all channels, present ones and missing ones side by side, with a few operations on arrays:
where values are missing at random, nearly every message needs a template of its own.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sf_bsread_writer.simulator.channels import Pattern, SimulatedChannel
from sf_bsread_writer.simulator.values import period, salt
from sf_bsread_writer.zmtp.frames import MORE, encode_frame, encode_frame_header

TIMESTAMP_BYTES = 16

_MAX_TEMPLATES = 64
"""Channels that are due now and then give a few templates in turn; those are worth keeping."""

Kind = tuple[Pattern, np.dtype[np.generic]]
"""What values that are made together have in common; the dtype has the channel's byte order."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Places:
    """Where values of one kind stand in a template, and the salts of their channels; both have shape (values,)."""

    at: NDArray[np.int64]
    salts: NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Template:
    """A message behind its data header: fixed bytes, places to patch, and where the prepared frame of which channel is put in."""

    row: NDArray[np.uint8]
    cuts: tuple[tuple[int, int], ...]
    values: dict[Kind, Places]
    timestamps: dict[np.dtype[np.generic], Places]


class Templates:
    """All templates of one header."""

    def __init__(self, channels: Sequence[SimulatedChannel]) -> None:
        self._salts = np.array([salt(simulated.channel.name) for simulated in channels], np.int64)
        patched = [period(simulated) is None for simulated in channels]
        frames: list[bytes] = []
        last = len(channels) - 1
        for index, (simulated, is_patched) in enumerate(zip(channels, patched, strict=True)):
            value = encode_frame(bytes(simulated.channel.item_bytes), more=True) if is_patched else b""
            frames.append(value + encode_frame(bytes(TIMESTAMP_BYTES), more=index < last))
            frames.append(bytes((MORE, 0, MORE if index < last else 0, 0)))
        self._frames = np.frombuffer(b"".join(frames), np.uint8)
        self._frame_bytes = np.array([len(frame) for frame in frames], np.int64).reshape(-1, 2)
        """Of each channel: bytes where it is present, and where it is missing."""
        self._prepared = np.flatnonzero(~np.array(patched))
        self._kinds = _grouped({i: (channels[i].pattern, channels[i].channel.dtype) for i in np.flatnonzero(patched).tolist()})
        self._orders = _grouped({i: np.dtype(">i8" if c.channel.big_endian else "<i8") for i, c in enumerate(channels)})
        self._known: OrderedDict[bytes, Template] = OrderedDict()

    def of(self, present: NDArray[np.bool_]) -> Template:
        """The template of messages in which just these channels are present, shape (channels,)."""
        key = present.tobytes()
        template = self._known.get(key)
        if template is None:
            template = self._known[key] = self._cut_out(present)
            if len(self._known) > _MAX_TEMPLATES:
                self._known.popitem(last=False)
        return template

    def _cut_out(self, present: NDArray[np.bool_]) -> Template:
        chosen = np.stack((present, ~present), axis=1)
        row = self._frames[np.repeat(chosen.reshape(-1), self._frame_bytes.reshape(-1))]
        stops = np.cumsum(self._frame_bytes[chosen])
        starts = stops - self._frame_bytes[chosen]
        value_at = starts + len(encode_frame_header(1))  # scalars are short frames
        time_at = stops - TIMESTAMP_BYTES

        def places(at: NDArray[np.int64], group: NDArray[np.intp]) -> Places:
            here = group[present[group]]
            return Places(at=at[here], salts=self._salts[here])

        prepared = self._prepared[present[self._prepared]]
        return Template(
            row=row,
            cuts=tuple(zip(starts[prepared].tolist(), prepared.tolist(), strict=True)),
            values={kind: places(value_at, group) for kind, group in self._kinds.items() if present[group].any()},
            timestamps={order: places(time_at, group) for order, group in self._orders.items() if present[group].any()},
        )


def _grouped(keys: dict[int, Any]) -> dict[Any, NDArray[np.intp]]:
    """The channels of each key, ascending."""
    return {key: np.array([i for i, own in keys.items() if own == key], np.intp) for key in dict.fromkeys(keys.values())}
