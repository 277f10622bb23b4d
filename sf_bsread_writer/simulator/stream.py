"""Which messages a simulated source sends: pulse ids, what is in them, and everything that goes wrong. Pure.

A plan is a function of the pulse's number, which counts from 0 at the first pulse: no state, so a piece of the stream is the same
whether it is made alone or in a batch, today or tomorrow. Randomness is a hash of seed, pulse and channel for the same reason.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sf_bsread_writer.errors import UsageError
from sf_bsread_writer.simulator.channels import SimulatedChannel
from sf_bsread_writer.simulator.hashing import uniform

PULSE_ID_EPOCH_NS = 1_483_228_800_000_000_000
"""2017-01-01 UTC in ns since 1970: the simulated machine has run at 100 Hz since then, which gives ids of a real one's size."""

PULSE_PERIOD_NS = 10_000_000

LARGEST_FIRST_PULSE_ID = 1 << 62
"""Pulse ids are int64 on the wire's other side; this leaves as many to come as there are below."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Epoch:
    """The channels of all pulses from number ``start`` on, until the next epoch."""

    start: int
    channels: tuple[SimulatedChannel, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class StepBack:
    """From pulse number ``at`` on, pulse ids are ``by`` smaller, as after the restart of an IOC that had lost its count."""

    at: int
    by: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """Pulse numbers from ``first`` to ``last``, both inclusive, for which no message is sent."""

    first: int
    last: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Burst:
    """Consecutive messages with one header: ``k`` of them, ``n`` channels.

    ``pulses`` and ``pulse_ids`` are int64 ``(k,)``; a pulse sent twice stands there twice. ``present`` is bool ``(k, n)``.
    """

    epoch: int
    pulses: NDArray[np.int64]
    pulse_ids: NDArray[np.int64]
    present: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.pulses)

    def head(self, count: int) -> "Burst":
        """The first ``count`` messages."""
        return Burst(epoch=self.epoch, pulses=self.pulses[:count], pulse_ids=self.pulse_ids[:count], present=self.present[:count])


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A whole stream. ``missing`` is the share of absent values (0…1) of the channels that name no share of their own.

    ``duplicate_every`` N sends pulses N, 2N, … twice (0: none).
    """

    epochs: tuple[Epoch, ...]
    first_pulse_id: int
    gaps: tuple[Gap, ...] = ()
    duplicate_every: int = 0
    step_back: StepBack | None = None
    missing: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        starts = [epoch.start for epoch in self.epochs]
        if starts[:1] != [0] or starts != sorted(set(starts)):
            raise UsageError(f"the first header must hold from pulse 0 on and each later one from a later pulse, not {starts}")
        if not 0 <= self.first_pulse_id <= LARGEST_FIRST_PULSE_ID:
            raise UsageError(f"a stream cannot begin with pulse id {self.first_pulse_id}; give 0 to {LARGEST_FIRST_PULSE_ID}")
        if not 0 <= self.missing <= 1:
            raise UsageError(f"a share of missing values lies between 0 and 1, not at {self.missing}")
        if self.duplicate_every < 0:
            raise UsageError(f"every how many pulses one is sent twice is a positive number, not {self.duplicate_every}")
        if any(gap.first < 0 or gap.last < gap.first for gap in self.gaps):
            raise UsageError("a gap goes from one pulse number to the same or a later one, e.g. 100:199")

    def messages(self, first: int, stop: int) -> tuple[Burst, ...]:
        """Messages of pulse numbers from ``first`` up to but not including ``stop``, in order; at most one burst for each header.

        Pulses in a gap, and those in which no channel is due, have no message.
        """
        ends = [epoch.start for epoch in self.epochs[1:]]
        spans = zip(range(len(self.epochs)), self.epochs, [*ends, stop], strict=True)
        bursts = (self._burst(index, max(first, epoch.start), min(stop, end)) for index, epoch, end in spans)
        return tuple(burst for burst in bursts if burst is not None and len(burst))

    def _burst(self, epoch: int, first: int, stop: int) -> Burst | None:
        if stop <= first:
            return None
        channels = self.epochs[epoch].channels
        pulses = np.arange(first, stop, dtype=np.int64)
        for gap in self.gaps:
            pulses = pulses[(pulses < gap.first) | (pulses > gap.last)]
        if self.duplicate_every:
            pulses = np.repeat(pulses, 1 + ((pulses > 0) & (pulses % self.duplicate_every == 0)))
        pulse_ids = self.first_pulse_id + pulses
        if self.step_back is not None:
            pulse_ids -= self.step_back.by * (pulses >= self.step_back.at)
        due = _due(channels, pulse_ids)
        sent = due.any(axis=1)
        pulses, pulse_ids, due = pulses[sent], pulse_ids[sent], due[sent]
        return Burst(epoch=epoch, pulses=pulses, pulse_ids=pulse_ids, present=due & self._not_lost(channels, pulses))

    def _not_lost(self, channels: Sequence[SimulatedChannel], pulses: NDArray[np.int64]) -> Any:
        """Bool ``(k, n)``, or plain True where nothing is ever missing; a pulse sent twice is missing the same values twice."""
        shares = np.array([self.missing if channel.missing is None else channel.missing for channel in channels])
        if not shares.any():
            return True
        return uniform(pulses[:, None], np.arange(len(channels))[None, :], self.seed) >= shares


def pulse_id_at(time_ns: int) -> int:
    """The pulse id of a machine that has fired 100 times a second since 2017-01-01 UTC."""
    return (time_ns - PULSE_ID_EPOCH_NS) // PULSE_PERIOD_NS


def _due(channels: Sequence[SimulatedChannel], pulse_ids: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Bool ``(k, n)``: a channel is due when its modulo divides pulse id minus offset (bsread specification)."""
    modulo = np.array([channel.channel.modulo for channel in channels], np.int64)
    offset = np.array([channel.channel.offset for channel in channels], np.int64)
    if (modulo == 1).all():
        return np.ones((len(pulse_ids), len(channels)), np.bool_)
    due: NDArray[np.bool_] = (pulse_ids[:, None] - offset) % modulo == 0
    return due
