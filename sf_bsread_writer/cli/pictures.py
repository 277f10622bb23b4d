"""Small pictures for a page that needs nothing else: PNG of pixels, SVG of a line. Pure.

PNG is three chunks and zlib; a library for it would be the heaviest thing that the package installs.
Source: Portable Network Graphics specification, third edition, sections 5 and 11.
"""

import base64
import struct
import zlib

import numpy as np
from numpy.typing import NDArray

LINE_PARTS = 80
LINE_WIDTH, LINE_HEIGHT = 160, 40
IMAGE_PIXELS = 96

_COMPLETE, _EMPTY, _NOTHING_DUE = (46, 139, 87), (192, 57, 43), (221, 221, 221)
_HALF = (230, 180, 60)


def png(pixels: NDArray[np.uint8]) -> bytes:
    """A PNG file of shape (height, width) in grey or (height, width, 3) in red, green and blue."""
    height, width = pixels.shape[:2]
    rows = np.concatenate((np.zeros((height, 1), np.uint8), pixels.reshape(height, -1)), axis=1)  # filter 0: none
    header = struct.pack(">IIBBBBB", width, height, 8, 0 if pixels.ndim == 2 else 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows.tobytes(), 9)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )


def data_uri(content: bytes) -> str:
    """A PNG file as the address of itself."""
    return "data:image/png;base64," + base64.b64encode(content).decode()


def strip(shares: NDArray[np.float64]) -> NDArray[np.uint8]:
    """One line of pixels, shape (1, parts, 3): green is all, from yellow to red is less, grey is nothing due.

    A part that lacks one pulse of a million is no longer green: what is missing has to be seen.
    """
    known = np.nan_to_num(shares)[:, np.newaxis]
    pixels = np.array(_EMPTY) + known * (np.array(_HALF) - np.array(_EMPTY))
    pixels[shares >= 1] = _COMPLETE
    pixels[np.isnan(shares)] = _NOTHING_DUE
    line: NDArray[np.uint8] = pixels.astype(np.uint8)[np.newaxis]
    return line


def grey(image: NDArray[np.float64]) -> NDArray[np.uint8]:
    """An image of at most `IMAGE_PIXELS` in each direction, from black to white but for the outermost percent of values."""
    height, width = image.shape
    small = image[:: -(-height // IMAGE_PIXELS) or 1, :: -(-width // IMAGE_PIXELS) or 1]
    finite = small[np.isfinite(small)]
    if not finite.size:
        return np.zeros(small.shape, np.uint8)
    low, high = np.percentile(finite, (1, 99))
    scaled = (np.nan_to_num(small, nan=low, posinf=high, neginf=low) - low) / (high - low if high > low else 1)
    pixels: NDArray[np.uint8] = (np.clip(scaled, 0, 1) * 255).astype(np.uint8)
    return pixels


def line(values: NDArray[np.float64]) -> str:
    """An SVG of a line through values, shape (n,): of many, the lowest and the highest of each part, so that no spike is lost."""
    finite = values[np.isfinite(values)]
    if not finite.size:
        return ""
    if len(finite) > 2 * LINE_PARTS:
        parts = np.array_split(finite, LINE_PARTS)
        finite = np.array([edge for part in parts for edge in (part.min(), part.max())])
    low, high = finite.min(), finite.max()
    heights = (finite - low) / (high - low) if high > low else np.full(len(finite), 0.5)
    across = np.linspace(1, LINE_WIDTH - 1, len(finite)) if len(finite) > 1 else np.array([LINE_WIDTH / 2])
    up = LINE_HEIGHT - 2 - heights * (LINE_HEIGHT - 4)
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in zip(across, up, strict=True))
    marker = f'<circle cx="{across[0]:.1f}" cy="{up[0]:.1f}" r="2"/>' if len(finite) == 1 else ""
    return (
        f'<svg viewBox="0 0 {LINE_WIDTH} {LINE_HEIGHT}" width="{LINE_WIDTH}" height="{LINE_HEIGHT}">'
        f'<polyline points="{points}"/>{marker}</svg>'
    )
