import numpy as np
import pytest

from sf_bsread_writer.errors import MessageError
from sf_bsread_writer.message.types import (
    MAX_DIMENSIONS,
    Compression,
    ValueType,
    numpy_shape,
    parse_compression,
    parse_type,
    wire_shape,
)

TYPES = {
    "bool": ("?", 1),
    "int8": ("i1", 1),
    "uint8": ("u1", 1),
    "int16": ("<i2", 2),
    "uint16": ("<u2", 2),
    "int32": ("<i4", 4),
    "uint32": ("<u4", 4),
    "int64": ("<i8", 8),
    "uint64": ("<u8", 8),
    "float32": ("<f4", 4),
    "float64": ("<f8", 8),
}


@pytest.mark.parametrize("name", [*TYPES, "string"])
def test_a_type_goes_by_its_name_in_any_case_both_ways(name: str) -> None:
    kind = parse_type(name)
    assert kind.wire == name
    assert parse_type(name.upper()) is kind
    assert parse_type(name.capitalize()) is kind


def test_no_type_is_left_out() -> None:
    assert {kind.wire for kind in ValueType} == {*TYPES, "string"}


@pytest.mark.parametrize(("name", "expected"), TYPES.items())
def test_a_type_has_a_little_endian_dtype(name: str, expected: tuple[str, int]) -> None:
    dtype = parse_type(name).numpy
    assert dtype == np.dtype(expected[0])
    assert dtype.itemsize == expected[1]


def test_a_string_has_no_dtype() -> None:
    with pytest.raises(MessageError, match="string"):
        _ = ValueType.STRING.numpy


@pytest.mark.parametrize("name", ["", "complex64", "float", "float 64", "x" * 1000])
def test_an_unknown_type_is_refused_with_its_name(name: str) -> None:
    with pytest.raises(MessageError) as caught:
        parse_type(name)
    assert name[:20] in str(caught.value)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("kind", Compression)
def test_a_compression_goes_by_its_name_in_any_case(kind: Compression) -> None:
    assert parse_compression(kind.value) is kind
    assert parse_compression(kind.value.upper()) is kind


def test_no_compression_named_is_none() -> None:
    assert parse_compression(None) is Compression.NONE


@pytest.mark.parametrize("name", ["", "zstd", "bitshuffle"])
def test_an_unknown_compression_is_refused_with_its_name(name: str) -> None:
    with pytest.raises(MessageError, match=f"compression '{name}'"):
        parse_compression(name)


SHAPES = [
    ([1280, 1024], (1024, 1280)),
    ([2048], (2048,)),
    ([1], ()),
    ([1, 1], (1, 1)),
    ([1, 5], (5, 1)),
    ([4, 3, 2], (2, 3, 4)),
]


@pytest.mark.parametrize(("on_the_wire", "in_numpy"), SHAPES)
def test_a_shape_is_fastest_first_on_the_wire_and_slowest_first_here(on_the_wire: list[int], in_numpy: tuple[int, ...]) -> None:
    assert numpy_shape(on_the_wire) == in_numpy
    assert wire_shape(in_numpy) == on_the_wire


@pytest.mark.parametrize("shape", [None, [], [1]])
def test_a_scalar_has_no_dimensions_however_it_is_written(shape: object) -> None:
    assert numpy_shape(shape) == ()


@pytest.mark.parametrize(
    "shape",
    [[0], [-1], [5, 0], [1.0], [1.5], ["5"], [None], [[1]], [True], 5, "1", {"0": 1}, [1 << 31, 2], [1 << 80], [2] * 32],
)
def test_anything_else_is_no_shape(shape: object) -> None:
    with pytest.raises(MessageError):
        numpy_shape(shape)


def test_a_shape_may_be_empty_where_the_caller_says_so() -> None:
    assert numpy_shape([0], may_be_empty=True) == (0,)
    assert numpy_shape([3, 0], may_be_empty=True) == (0, 3)
    with pytest.raises(MessageError):
        numpy_shape([-1], may_be_empty=True)


def test_a_shape_has_room_for_the_rows_of_the_file() -> None:
    assert len(numpy_shape([2] * 3 + [1] * (MAX_DIMENSIONS - 3))) == MAX_DIMENSIONS
    with pytest.raises(MessageError, match="dimensions"):
        numpy_shape([1] * (MAX_DIMENSIONS + 1))
