"""Draws series with matplotlib, without a display and without a browser; a page has the drawing inside as SVG.

plotly's plots can be zoomed into, but a picture of them needs a browser, and every page has four megabytes of JavaScript.
"""

import io
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sf_bsread_writer.cli.columns import printable
from sf_bsread_writer.hdf5.place import output_error
from sf_bsread_writer.hdf5.series import Series

_WIDTH_INCHES, _HEIGHT_INCHES = 10.0, 2.6
_PLAIN: Any = {"text.parse_math": False, "svg.fonttype": "none", "svg.hashsalt": "sf_bsread"}
"""A ``$`` in a name is no formula; text in SVG is text."""


def draw(series: Sequence[Series], *, title: str, target: Path) -> None:
    """Writes the plot in the format of the target's suffix; raises `OutputError`."""
    with rc_context(_PLAIN):
        figure = Figure(figsize=(_WIDTH_INCHES, 0.8 + _HEIGHT_INCHES * len(series)), layout="constrained")
        figure.suptitle(printable(title))
        for axes, each in zip(figure.subplots(len(series), squeeze=False)[:, 0], series, strict=True):
            _draw(axes, each)
        content = io.BytesIO()
        page = target.suffix == ".html"
        figure.savefig(content, format="svg" if page else target.suffix[1:])
    drawing = _page(content.getvalue().decode(), title).encode() if page else content.getvalue()
    try:
        target.write_bytes(drawing)
    except OSError as error:
        raise output_error(error, "write", target) from error


def _draw(axes: Axes, series: Series) -> None:
    ids, values = series.pulse_ids, series.values
    axes.ticklabel_format(useOffset=False, style="plain", axis="x")
    name = printable(series.name)
    thinned = f", one of {series.step} values" if series.step > 1 and values.ndim < 3 else ""
    if values.ndim == 1:
        at, numbers = _broken(ids, values)
        axes.plot(at, numbers, marker="." if len(ids) < 200 else "", linewidth=0.8)
        axes.set_xlabel("pulse id")
    elif values.ndim == 2:
        axes.pcolormesh(np.arange(values.shape[1] + 1), np.arange(len(ids) + 1), values, rasterized=True)
        places = np.unique(np.linspace(0, len(ids) - 1, min(5, len(ids))).astype(int))
        axes.set_yticks(places + 0.5, [str(ids[place]) for place in places])
        axes.set(xlabel="element", ylabel="pulse id")
    else:
        axes.imshow(values[-1], aspect="equal", interpolation="nearest")
        thinned = f", pulse {ids[-1]}"
    axes.set_title(f"{name}{thinned}", fontsize="medium", loc="left")


def _broken(ids: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The same points, with a gap in the line wherever more ids are left out than between most of them."""
    distances = np.diff(ids)
    gaps = np.flatnonzero(distances > (np.median(distances) if len(distances) else 0)) + 1
    return np.insert(ids.astype(np.float64), gaps, ids[gaps]), np.insert(values, gaps, np.nan)


def _page(svg: str, title: str) -> str:
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}"></head>\n<body>{svg[svg.index("<svg") :]}</body></html>\n'
    )
