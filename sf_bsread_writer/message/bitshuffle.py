"""Bitshuffle with LZ4, done by the HDF5 filter that reads the files later: by the functions it consists of, or by a dataset.

The `bitshuffle` package would do it too, but has no wheels for newer Pythons; hdf5plugin has. Its plugin is a library that has
the functions of the codec among its symbols (`PluginCodec`): a call costs 4 µs beside the work, and lets other threads run. Where
it has not, since that is no promise of hdf5plugin, a dataset of one chunk in memory is written or read (`DatasetCodec`): 0.1 ms a
call, under the lock of h5py. Both give the same bytes.

The filter believes the lengths in a chunk: callers check them first (`compression.bitshuffle_chunk`). What is inside a block
cannot lead it astray, since LZ4 is told how long each one is, and how long it may become.
"""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from struct import Struct
from typing import Any, Protocol

import hdf5plugin
import numpy as np
from h5py import h5d, h5f, h5p, h5s, h5t
from numpy.typing import NDArray

_FILTER: int = hdf5plugin.Bitshuffle.filter_id
_OPTIONS = (0, 2)
"""Block size chosen by the filter; LZ4."""

_FILE_GROWTH_BYTES = 1 << 16
_HEADER = Struct(">qi")
"""Uncompressed bytes, and bytes of a block."""

Payload = bytes | bytearray | memoryview


class Codec(Protocol):
    """Both ways to do it."""

    def bound(self, raw_bytes: int, item_bytes: int) -> int:
        """The most bytes that a chunk of so many takes."""

    def encode_into(self, chunk: NDArray[np.uint8], raw: Payload, item_bytes: int) -> int:
        """Makes the chunk of these bytes (at least one item, and no part of one) in memory of at least the size of the bound.

        Returns its size.
        """

    def decode(self, chunk: Payload, raw_bytes: int, item_bytes: int) -> bytes:
        """The bytes in a chunk whose lengths were checked; raises OSError if a block in it is damaged."""


class PluginCodec:
    """By the functions in the library of the plugin; raises OSError or AttributeError if it is not there or has none."""

    def __init__(self, path: Path) -> None:
        size, address = ctypes.c_size_t, ctypes.c_void_p
        library = ctypes.CDLL(str(path))
        self._bound = library.bshuf_compress_lz4_bound
        self._compress = library.bshuf_compress_lz4
        self._decompress = library.bshuf_decompress_lz4
        self._block_items = library.bshuf_default_block_size
        self._bound.argtypes, self._bound.restype = (size, size, size), size
        self._block_items.argtypes, self._block_items.restype = (size,), size
        for function in (self._compress, self._decompress):
            function.argtypes, function.restype = (address, address, size, size, size), ctypes.c_int64

    def bound(self, raw_bytes: int, item_bytes: int) -> int:
        """As in `Codec`."""
        return _HEADER.size + int(self._bound(raw_bytes // item_bytes, item_bytes, self._block_items(item_bytes)))

    def encode_into(self, chunk: NDArray[np.uint8], raw: Payload, item_bytes: int) -> int:
        """As in `Codec`."""
        values = np.frombuffer(raw, f"V{item_bytes}")
        _check_memory(chunk, self.bound(values.nbytes, item_bytes))
        block_items = self._block_items(item_bytes)
        _HEADER.pack_into(chunk.data, 0, values.nbytes, block_items * item_bytes)
        count = int(self._compress(values.ctypes.data, chunk.ctypes.data + _HEADER.size, values.size, item_bytes, block_items))
        if count < 0:
            raise OSError(f"bitshuffle cannot compress {values.nbytes} bytes: it ends with {count}")
        return _HEADER.size + count

    def decode(self, chunk: Payload, raw_bytes: int, item_bytes: int) -> bytes:
        """As in `Codec`."""
        data, values = np.frombuffer(chunk, np.uint8), np.empty(raw_bytes, np.uint8)
        block_items = _HEADER.unpack_from(chunk)[1] // item_bytes
        count = self._decompress(
            data.ctypes.data + _HEADER.size, values.ctypes.data, raw_bytes // item_bytes, item_bytes, block_items
        )
        if count < 0:
            raise OSError(f"bitshuffle cannot decompress it: it ends with {count}")
        return values.tobytes()


class DatasetCodec:
    """By HDF5, for which the filter is made."""

    def bound(self, raw_bytes: int, item_bytes: int) -> int:
        """As in `Codec`; a block has 8 KiB or a little less, and LZ4 adds at most 1/255 and 16 bytes to it."""
        return raw_bytes + raw_bytes // 64 + 128 * item_bytes

    def encode_into(self, chunk: NDArray[np.uint8], raw: Payload, item_bytes: int) -> int:
        """As in `Codec`."""
        values = np.frombuffer(raw, f"u{item_bytes}")
        _check_memory(chunk, self.bound(values.nbytes, item_bytes))
        with _chunk_in_memory(values.size, values.dtype) as dataset:
            dataset.write(h5s.ALL, h5s.ALL, values)
            _, made = dataset.read_direct_chunk((0,))
        chunk[: len(made)] = np.frombuffer(made, np.uint8)
        return len(made)

    def decode(self, chunk: Payload, raw_bytes: int, item_bytes: int) -> bytes:
        """As in `Codec`."""
        values = np.empty(raw_bytes // item_bytes, f"u{item_bytes}")
        with _chunk_in_memory(values.size, values.dtype) as dataset:
            dataset.write_direct_chunk((0,), bytes(chunk))
            dataset.read(h5s.ALL, h5s.ALL, values)
        return values.tobytes()


def _check_memory(chunk: NDArray[np.uint8], bound: int) -> None:
    if len(chunk) < bound:
        raise ValueError(f"{len(chunk)} bytes of memory may be too few for a chunk of up to {bound}")


@contextmanager
def _chunk_in_memory(size: int, dtype: np.dtype[Any]) -> Iterator[Any]:
    access = h5p.create(h5p.FILE_ACCESS)
    access.set_fapl_core(_FILE_GROWTH_BYTES, False)
    creation = h5p.create(h5p.DATASET_CREATE)
    creation.set_chunk((size,))
    creation.set_filter(_FILTER, 0, _OPTIONS)
    creation.set_fill_time(h5d.FILL_TIME_NEVER)
    file = h5f.create(b"bitshuffle in memory", h5f.ACC_TRUNC, fapl=access)
    try:
        yield h5d.create(file, b"chunk", h5t.py_create(dtype), h5s.create_simple((size,)), creation)
    finally:
        file.close()


def plugin_path() -> Path:
    """Where hdf5plugin has the library of its filter."""
    extension = hdf5plugin.get_config().build_config.filter_file_extension
    return Path(hdf5plugin.PLUGIN_PATH) / f"libh5bshuf{extension}"


def best_codec() -> Codec:
    """The fast one if there is one here. Loads its library, so that later it does not have to be readable."""
    try:
        return PluginCodec(plugin_path())
    except (OSError, AttributeError):
        return DatasetCodec()


codec = best_codec()
"""The one for everybody."""
