"""The table of a buffer's clients: rates follow from two lists, and the most lagging ones are shown."""

from sf_bsread_writer.cli.clients import ClientTable
from sf_bsread_writer.zmtp.extension import ClientList, ListedClient


def listed(at_s: float, *sent: int, connected: int | None = None, lags: tuple[int, ...] = ()) -> ClientList:
    """A list of clients a, b, … that were sent so many messages each."""
    clients = tuple(
        ListedClient(
            name=name,
            address=f"tcp://10.0.0.1:{number}",
            sent_messages=count,
            lag_messages=lags[number] if lags else 0,
            lag_s=0.01 * (lags[number] if lags else 0),
            lost_messages=0,
        )
        for number, (name, count) in enumerate(zip("abcdefgh", sent, strict=False))
    )
    return ClientList(now_ns=round(at_s * 1e9), connected=len(clients) if connected is None else connected, clients=clients)


def rates(lines: list[str]) -> list[str]:
    return [line[lines[0].index("address") + len("tcp://10.0.0.1:0") :].split()[0] for line in lines[1:]]


def test_a_rate_is_that_between_two_lists_by_the_buffers_clock() -> None:
    table = ClientTable()
    assert table.lines(listed(100, 1000)) == [
        "client  address           per s  behind  by s  lost",
        "a       tcp://10.0.0.1:0              0  0.00     0",
    ]
    assert rates(table.lines(listed(102, 1100))) == ["50.0"]
    assert rates(table.lines(listed(102, 1100))) == ["50.0"]  # the same list once more says nothing new
    assert rates(table.lines(listed(103, 1100, 7))) == ["0.0", "0"]  # of a client that is new there is no rate, only its lag


def test_of_many_the_most_lagging_are_shown_in_the_order_of_their_connection() -> None:
    lines = ClientTable().lines(listed(1, 0, 0, 0, 0, lags=(5, 0, 700, 90), connected=70), most=2)
    assert lines == [
        "client  address           per s  behind  by s  lost",
        "c       tcp://10.0.0.1:2            700  7.00     0",
        "d       tcp://10.0.0.1:3             90  0.90     0",
        "… and 68 that are not further behind",
    ]


def test_a_name_cannot_move_the_cursor() -> None:
    client = ListedClient(name="\x1b[2J", address="tcp://h:1", sent_messages=0, lag_messages=0, lag_s=0, lost_messages=0)
    lines = ClientTable().lines(ClientList(now_ns=1, connected=1, clients=(client,)))
    assert lines[1].startswith("\N{REPLACEMENT CHARACTER}[2J ")
