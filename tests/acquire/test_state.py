"""The writer's state machine: its table is complete, and nothing leads out of it."""

import pytest

from sf_bsread_writer.acquire.state import TABLE, Effect, Event, Machine, State
from sf_bsread_writer.errors import StateError


def machine_in(state: State) -> Machine:
    machine = Machine()
    machine.state = state
    return machine


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("event", Event)
def test_every_pair_is_either_in_the_table_or_refused_by_name(state: State, event: Event) -> None:
    machine = machine_in(state)
    if (state, event) in TABLE:
        effects = machine.on(event)
        assert (machine.state, effects) == TABLE[state, event]
    else:
        with pytest.raises(StateError, match=f"'{event.value}' is not possible while the writer is {state.value}"):
            machine.on(event)
        assert machine.state is state


def reachable(start: State, over: set[Event]) -> set[State]:
    found, new = {start}, {start}
    while new:
        new = {after for (before, event), (after, _) in TABLE.items() if before in new and event in over} - found
        found |= new
    return found


def test_every_state_can_be_reached() -> None:
    assert set(State) == reachable(State.WAITING, set(Event))


@pytest.mark.parametrize("state", State)
def test_a_signal_never_raises_and_leads_to_the_end(state: State) -> None:
    machine = machine_in(state)
    machine.on(Event.INTERRUPTED)

    assert reachable(machine.state, {Event.CLOSED, Event.WRITE_FAILED}) & {State.FINISHED, State.FAILED}


@pytest.mark.parametrize("state", State)
def test_an_end_request_never_raises(state: State) -> None:
    machine_in(state).on(Event.END)


@pytest.mark.parametrize(("pair", "transition"), TABLE.items())
def test_the_file_is_closed_exactly_when_writing_ends(
    pair: tuple[State, Event], transition: tuple[State, tuple[Effect, ...]]
) -> None:
    (before, _), (after, effects) = pair, transition

    assert (before is State.WRITING and after is not State.WRITING) == (Effect.CLOSE in effects)


def test_repeated_starts_and_stops_change_nothing() -> None:
    for (before, event), (after, effects) in TABLE.items():
        if event in (Event.START_AGAIN, Event.STOP_AGAIN):
            assert (before, ()) == (after, effects)
