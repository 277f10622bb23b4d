"""The JSON bodies of the paths that show values: numbers that are NaN or infinite are null, bytes are base64."""

from typing import Any, Self

import msgspec
import numpy as np

from sf_bsread_writer.relay.completeness import Completeness
from sf_bsread_writer.relay.looks import Shown
from sf_bsread_writer.relay.picture import Picture, Trace
from sf_bsread_writer.relay.trend import Trend


class TrendAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A scalar in ``messages``, of which ``present_messages`` have a value of it. Pulse ids at the ends None if there is none.

    Each of ``values`` is that of the pulse at the same place in ``pulse_ids``, in order of arrival. None: missing though it was
    due, damaged, or no number. ``thinned``: of each part, only the lowest and the highest value.
    """

    channel: str
    type: str
    messages: int
    present_messages: int
    first_pulse_id: int | None
    last_pulse_id: int | None
    thinned: bool
    pulse_ids: list[int]
    values: list[bool | float | None]

    @classmethod
    def of(cls, trend: Trend) -> Self:
        """As it was gathered."""
        return cls(
            channel=trend.channel.name,
            type=trend.channel.type.wire,
            messages=trend.messages,
            present_messages=trend.present_messages,
            first_pulse_id=trend.first_pulse_id,
            last_pulse_id=trend.last_pulse_id,
            thinned=trend.thinned,
            pulse_ids=trend.pulse_ids,
            values=trend.values,
        )


class _ValueAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """Whose value it is, and of which pulse."""

    channel: str
    type: str
    shape: list[int]
    pulse_id: int
    global_timestamp_ns: int


def _whose(shown: Shown[Any]) -> dict[str, Any]:
    """The fields of `_ValueAnswer`."""
    return {
        "channel": shown.channel.name,
        "type": shown.channel.type.wire,
        "shape": list(shown.channel.shape),
        "pulse_id": shown.pulse_id,
        "global_timestamp_ns": shown.global_timestamp_ns,
    }


class TraceAnswer(_ValueAnswer, frozen=True, kw_only=True):
    """A waveform of one pulse. Each of ``values`` stands at the place of it in ``indices``, of ``elements``; None: no number.

    ``thinned``: of each part, only the lowest and the highest. ``low``, ``high`` and ``mean`` are of all numbers in it.
    """

    elements: int
    thinned: bool
    indices: list[int]
    values: list[bool | float | None]
    low: float | None
    high: float | None
    mean: float | None

    @classmethod
    def of(cls, shown: Shown[Trace]) -> Self:
        """As it was found."""
        trace = shown.drawn
        return cls(
            **_whose(shown),
            elements=trace.elements,
            thinned=trace.thinned,
            indices=trace.indices,
            values=trace.values,
            low=trace.low,
            high=trace.high,
            mean=trace.mean,
        )


class Histogram(msgspec.Struct, frozen=True, kw_only=True):
    """How many pixels lie in each of 256 equal parts from ``low`` to ``high``, both inclusive; None if no pixel is a number."""

    low: float | None
    high: float | None
    counts: list[int]


class ImageAnswer(_ValueAnswer, frozen=True, kw_only=True):
    """An image of one pulse. All but ``pixels`` is of the whole image, as far as its pixels are numbers.

    ``pixels`` are ceil(``height`` / ``step``) rows of ceil(``width`` / ``step``) pixels, float32 in little-endian order, each the
    mean of ``step`` × ``step`` of the image. ``plane`` says which part of an array of more than two dimensions it is, as an index
    in NumPy's words; else it is empty.
    """

    plane: str
    height: int
    width: int
    step: int
    pixels: bytes
    low: float | None
    high: float | None
    mean: float | None
    percentile_1: float | None
    percentile_99: float | None
    histogram: Histogram

    @classmethod
    def of(cls, shown: Shown[Picture]) -> Self:
        """As it was found."""
        picture = shown.drawn
        return cls(
            **_whose(shown),
            plane=picture.plane,
            height=picture.height,
            width=picture.width,
            step=picture.step,
            pixels=picture.pixels.astype("<f4", copy=False).tobytes(),
            low=picture.low,
            high=picture.high,
            mean=picture.mean,
            percentile_1=picture.percentile_1,
            percentile_99=picture.percentile_99,
            histogram=Histogram(low=picture.low, high=picture.high, counts=picture.counts),
        )


class ChannelCompletenessAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A channel that is due in so many messages, and has no value in ``missing`` of them."""

    name: str
    due: int
    missing: int


class CompletenessAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A map of channels and pulses: ``parts`` parts of ``pulses_per_part`` pulses, ``step`` ids apart, from the first one on.

    ``states`` is one byte for each part of each of ``channels``, channel by channel, and ``stream`` one for each part.
    0: nothing due; 1: complete; 2: some missing; 3: all missing; 4: pulses in it for which no message came.
    """

    first_pulse_id: int
    last_pulse_id: int
    step: int
    parts: int
    pulses_per_part: int
    messages: int
    undecodable: int
    gap_pulses: int
    matching_channels: int
    complete_channels: int
    channels: list[ChannelCompletenessAnswer]
    stream: bytes
    states: bytes

    @classmethod
    def of(cls, found: Completeness) -> Self:
        """As it was found."""
        return cls(
            first_pulse_id=found.first_pulse_id,
            last_pulse_id=found.last_pulse_id,
            step=found.step,
            parts=len(found.stream),
            pulses_per_part=found.pulses_per_part,
            messages=found.messages,
            undecodable=found.undecodable,
            gap_pulses=found.gap_pulses,
            matching_channels=found.matching_channels,
            complete_channels=found.complete_channels,
            channels=msgspec.convert(found.channels, list[ChannelCompletenessAnswer], from_attributes=True),
            stream=found.stream.astype(np.uint8, copy=False).tobytes(),
            states=found.states.astype(np.uint8, copy=False).tobytes(),
        )
