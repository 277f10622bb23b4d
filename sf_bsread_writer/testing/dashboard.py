"""The buffer's page as a person uses it, and what plotly has drawn there, as numbers."""

from typing import Any

from playwright.sync_api import Locator, Page, expect

from sf_bsread_writer.testing.browser import TIMEOUT_MS

expect.set_options(timeout=TIMEOUT_MS)

_DRAWN = """id => JSON.parse(JSON.stringify(document.getElementById(id).data, (key, value) =>
  ArrayBuffer.isView(value) ? Array.from(value) : value))"""


class Dashboard:
    """A page of the buffer that is open; every wait ends with what is waited for, or fails the test."""

    def __init__(self, page: Page) -> None:
        self.page = page

    def shows(self, name: str, text: Any) -> None:
        """Returns when the element of this id has this text, or one that the pattern is found in."""
        expect(self.page.locator(f"#{name}")).to_have_text(text)

    def row(self, channel: str) -> Locator:
        """The row of this channel in the table."""
        return self.page.locator(f"#channels [role=row][data-channel={_quoted(channel)}]")

    def cell(self, channel: str, column: str) -> Locator:
        """One cell of it; columns are called as in the JSON of /channels."""
        return self.row(channel).locator(f"[data-column={column}]")

    def rows(self) -> list[str]:
        """The channels that have a row in the page, from top to bottom; others of thousands have none."""
        names: list[str] = self.page.eval_on_selector_all(
            "#channels [role=row][data-channel]",
            "rows => rows.sort((one, other) => one.ariaRowIndex - other.ariaRowIndex).map(row => row.dataset.channel)",
        )
        return names

    def search(self, text: str) -> None:
        """Types it into the search."""
        self.page.fill("#channel-search", text)

    def open(self, channel: str, kind: str) -> None:
        """Finds the channel and clicks on it; returns when its plot of this kind is drawn."""
        self.search(channel)
        self.row(channel).click()
        self.wait_for_plot(channel, kind)

    def wait_for_plot(self, channel: str, kind: str) -> None:
        """Returns when the plot of this channel is drawn."""
        self.shows("plot-title", channel)
        self.page.wait_for_selector(f"#plot[data-kind={kind}][data-drawn]")

    def plot(self, name: str = "plot") -> dict[str, Any]:
        """The one trace of plotly's data in the element of this id."""
        (trace,) = self.page.evaluate(_DRAWN, name)
        made: dict[str, Any] = trace
        return made

    def wait_for_pulse_in_plot(self, pulse_id: int) -> None:
        """Returns when the text below the plot names this pulse: its last is drawn by then."""
        expect(self.page.locator("#plot-more")).to_contain_text(f"pulse {pulse_id} ")

    def wait_for_new_drawing(self) -> None:
        """Returns when the plot has been drawn once more from now."""
        drawn = self.page.get_attribute("#plot", "data-drawn")
        expect(self.page.locator("#plot")).not_to_have_attribute("data-drawn", drawn or "")


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
