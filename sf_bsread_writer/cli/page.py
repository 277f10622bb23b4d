"""The page that ``sf_bsread check --html`` writes: one file, that loads nothing and runs nothing.

Names and texts come from the stream, so from anybody: all are escaped, and the browser is told to allow no script and no address.
"""

from collections.abc import Sequence
from html import escape

import numpy as np

from sf_bsread_writer.cli import pictures
from sf_bsread_writer.cli.columns import shape_text
from sf_bsread_writer.hdf5.inspect import ChannelFindings
from sf_bsread_writer.hdf5.preview import ChannelPreview, FilePreview

_STYLE = """
body { font: 14px/1.4 system-ui, sans-serif; margin: 2em; color: #222; }
table { border-collapse: collapse; } th, td { padding: 2px 10px; text-align: left; border-bottom: 1px solid #ddd; }
th { position: sticky; top: 0; background: #fff; } td.number { text-align: right; font-variant-numeric: tabular-nums; }
td.name { font-family: monospace; } td.bad { color: #c0392b; font-weight: bold; }
img.strip { width: 400px; height: 18px; image-rendering: pixelated; display: block; } img.image { max-height: 96px; }
svg polyline { fill: none; stroke: #1f5f99; stroke-width: 1; } svg circle { fill: #1f5f99; }
.yes { color: #2e8b57; } .no { color: #c0392b; } pre { white-space: pre-wrap; }
"""
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
_HEADINGS = (
    "channel", "type", "shape", "present", "missing", "per s", "lowest", "mean", "deviation", "highest", "pulses", "look",
)  # fmt: skip


def page(sections: Sequence[str]) -> str:
    """The whole page."""
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>sf_bsread check</title>'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}"><style>{_STYLE}</style></head>\n<body>\n'
        + "\n".join(sections)
        + "\n</body></html>\n"
    )


def section(
    title: str,
    lines: Sequence[str],
    channels: Sequence[ChannelFindings],
    preview: FilePreview,
    *,
    is_as_asked: bool,
) -> str:
    """One file: ``lines`` about it as a whole, then a row for each channel; ``preview`` has the channels in the same order."""
    rows = [_row(channel, seen) for channel, seen in zip(channels, preview.channels, strict=True)]
    span = "" if preview.first is None else f" {preview.first} … {preview.last}"
    return (
        f'<h2>{escape(title)}</h2>\n<pre class="{"yes" if is_as_asked else "no"}">{escape(chr(10).join(lines))}</pre>\n'
        f"<p>All pulses{span}: green is complete, from yellow to red is less, grey is nothing due.</p>{_strip(preview.shares)}\n"
        f"<table><thead><tr>{''.join(f'<th>{heading}</th>' for heading in _HEADINGS)}</tr></thead>\n<tbody>\n"
        + "\n".join(rows)
        + "\n</tbody></table>\n<p>Figures are of the values that were looked at: of single numbers at most every n-th, of "
        "arrays and images a few. The look is all those numbers, or the last array or image.</p>"
    )


def unread(title: str, why: str) -> str:
    """The section of a file that could not be read."""
    return f'<h2>{escape(title)}</h2>\n<pre class="no">{escape(why)}</pre>'


def _row(channel: ChannelFindings, seen: ChannelPreview) -> str:
    missing = channel.rows.missing.pulses
    figures = (seen.rate_hz, seen.lowest, seen.mean, seen.deviation, seen.highest)
    shape = shape_text(channel.shape)
    cells = [
        f'<td class="name">{escape(channel.name)}</td><td>{escape(channel.type or "no value ever")}</td><td>{shape}</td>',
        f'<td class="number">{channel.rows.present}</td><td class="number{" bad" if missing else ""}">{missing}</td>',
        *(f'<td class="number">{"" if figure is None else f"{figure:.5g}"}</td>' for figure in figures),
        f"<td>{_strip(seen.shares)}</td><td>{_look(seen)}</td>",
    ]
    return f"<tr>{''.join(cells)}</tr>"


def _strip(shares: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> str:
    return f'<img class="strip" alt="" src="{pictures.data_uri(pictures.png(pictures.strip(shares)))}">'


def _look(seen: ChannelPreview) -> str:
    if seen.picture is None or not seen.picture.size:
        return escape(seen.text)
    if seen.picture.ndim == 2:
        return f'<img class="image" alt="" src="{pictures.data_uri(pictures.png(pictures.grey(seen.picture)))}">'
    return pictures.line(seen.picture)
