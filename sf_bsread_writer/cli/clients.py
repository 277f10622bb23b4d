"""The clients of a buffer as a table: how fast each takes messages, how far it is behind, and what it has lost. Pure."""

from sf_bsread_writer.cli.columns import printable, table
from sf_bsread_writer.model import NS_PER_S
from sf_bsread_writer.zmtp.extension import ClientList


class ClientTable:
    """Makes one table after the other: how fast a client takes messages follows from two different lists."""

    def __init__(self) -> None:
        self._last = ClientList(now_ns=0, connected=0, clients=())
        self._rates_hz: dict[str, float] = {}  # by address, which two clients never have at a time

    def lines(self, listed: ClientList, *, most: int | None = None) -> list[str]:
        """The table, its heading first, of ``most`` clients, those furthest behind."""
        self._measure(listed)
        behind = sorted(listed.clients, key=lambda client: client.lag_messages, reverse=True)[:most]
        shown = [client for client in listed.clients if client in behind]
        rates = [self._rates_hz.get(client.address) for client in shown]
        lines = table(
            [
                ["client", *(printable(client.name) for client in shown)],
                ["address", *(printable(client.address) for client in shown)],
            ],
            [
                ["per s", *("" if rate is None else f"{rate:.1f}" for rate in rates)],
                ["behind", *(client.lag_messages for client in shown)],
                ["by s", *(f"{client.lag_s:.2f}" for client in shown)],
                ["lost", *(client.lost_messages for client in shown)],
            ],
        )
        more = listed.connected - len(shown)
        return [*lines, f"… and {more} that are not further behind"] if more else lines

    def _measure(self, listed: ClientList) -> None:
        before, seconds = (
            {client.address: client for client in self._last.clients},
            (listed.now_ns - self._last.now_ns) / NS_PER_S,
        )
        if seconds > 0:
            self._rates_hz = {
                client.address: (client.sent_messages - before[client.address].sent_messages) / seconds
                for client in listed.clients
                if client.address in before
            }
        self._last = listed
