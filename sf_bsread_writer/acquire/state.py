"""The life of a writer, as one table. Pure.

The shell (`acquire.service`) turns requests, messages, timers and signals into events, asks `Machine.on` and carries
out the effects that come back. An event that the table does not have for a state raises and names both; what is
harmless there (a repeated start, a late signal) stands in the table with no effects.
"""

from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType

from sf_bsread_writer.errors import StateError


class State(Enum):
    """Where an acquisition stands."""

    WAITING = "waiting"
    WRITING = "writing"
    CLOSING = "closing"
    FINISHED = "finished"
    FAILED = "failed"


class Event(Enum):
    """What can happen to it."""

    START = "start"
    START_AGAIN = "same start again"
    REPLACED = "other start"
    STOP = "stop"
    STOP_AGAIN = "same stop again"
    REACHED = "stop reached"
    STALLED = "stream silent"
    END = "end requested"
    INTERRUPTED = "signal or kill"
    WRITE_FAILED = "write error"
    CLOSED = "file closed"
    CLOSED_FOR_NEXT = "file closed, more to come"


class Effect(Enum):
    """What the shell has to do."""

    OPEN = "open file and stream"
    WATCH_STOP = "look out for the stop"
    CLOSE = "close file"
    EXIT = "end process"


Transition = tuple[State, tuple[Effect, ...]]

TABLE: Mapping[tuple[State, Event], Transition] = MappingProxyType(
    {
        (State.WAITING, Event.START): (State.WRITING, (Effect.OPEN, Effect.WATCH_STOP)),
        (State.WAITING, Event.STOP): (State.WAITING, ()),
        (State.WAITING, Event.STOP_AGAIN): (State.WAITING, ()),
        (State.WAITING, Event.END): (State.FINISHED, (Effect.EXIT,)),
        (State.WAITING, Event.INTERRUPTED): (State.FINISHED, (Effect.EXIT,)),
        (State.WRITING, Event.START_AGAIN): (State.WRITING, ()),
        (State.WRITING, Event.REPLACED): (State.CLOSING, (Effect.CLOSE,)),
        (State.WRITING, Event.STOP): (State.WRITING, (Effect.WATCH_STOP,)),
        (State.WRITING, Event.STOP_AGAIN): (State.WRITING, ()),
        (State.WRITING, Event.REACHED): (State.CLOSING, (Effect.CLOSE,)),
        (State.WRITING, Event.STALLED): (State.CLOSING, (Effect.CLOSE,)),
        (State.WRITING, Event.END): (State.CLOSING, (Effect.CLOSE,)),
        (State.WRITING, Event.INTERRUPTED): (State.CLOSING, (Effect.CLOSE,)),
        (State.WRITING, Event.WRITE_FAILED): (State.CLOSING, (Effect.CLOSE,)),
        (State.CLOSING, Event.START_AGAIN): (State.CLOSING, ()),
        (State.CLOSING, Event.STOP_AGAIN): (State.CLOSING, ()),
        (State.CLOSING, Event.REACHED): (State.CLOSING, ()),
        (State.CLOSING, Event.STALLED): (State.CLOSING, ()),
        (State.CLOSING, Event.END): (State.CLOSING, ()),
        (State.CLOSING, Event.INTERRUPTED): (State.CLOSING, ()),
        (State.CLOSING, Event.WRITE_FAILED): (State.FAILED, (Effect.EXIT,)),
        (State.CLOSING, Event.CLOSED): (State.FINISHED, (Effect.EXIT,)),
        (State.CLOSING, Event.CLOSED_FOR_NEXT): (State.WAITING, ()),
        (State.FINISHED, Event.START_AGAIN): (State.FINISHED, ()),
        (State.FINISHED, Event.STOP_AGAIN): (State.FINISHED, ()),
        (State.FINISHED, Event.END): (State.FINISHED, ()),
        (State.FINISHED, Event.INTERRUPTED): (State.FINISHED, ()),
        (State.FAILED, Event.END): (State.FAILED, ()),
        (State.FAILED, Event.INTERRUPTED): (State.FAILED, ()),
    }
)


class Machine:
    """One acquisition's state; the table decides."""

    def __init__(self) -> None:
        self.state = State.WAITING

    def on(self, event: Event) -> tuple[Effect, ...]:
        """Takes the event; returns what is to be done, in order. StateError if it does not fit the state."""
        transition = TABLE.get((self.state, event))
        if transition is None:
            raise StateError(f"'{event.value}' is not possible while the writer is {self.state.value}")
        self.state, effects = transition
        return effects


def diagram() -> str:
    """The table as a Mermaid state diagram; ``docs/explanations/state-machine.md`` holds it."""
    lines = ["stateDiagram-v2", f"    [*] --> {State.WAITING.value}"]
    for (before, event), (after, effects) in TABLE.items():
        if before is after and not effects:
            continue
        what = f" / {', '.join(effect.value for effect in effects)}" if effects else ""
        lines.append(f"    {before.value} --> {after.value}: {event.value}{what}")
    lines += [f"    {end.value} --> [*]" for end in (State.FINISHED, State.FAILED)]
    return "\n".join(lines) + "\n"
