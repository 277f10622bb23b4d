"""Parameters below /general."""

import pytest

from sf_bsread_writer.hdf5.general import general_datasets


def test_four_are_always_there() -> None:
    expected = dict.fromkeys(("created", "user", "process", "instrument"), b"not given")
    assert expected == general_datasets({})


def test_given_ones_replace_them() -> None:
    given = {"general/created": "today", "general/user": "me", "general/process": "dia", "general/instrument": "bernina"}
    expected = {"created": b"today", "user": b"me", "process": b"dia", "instrument": b"bernina"}
    assert expected == general_datasets(given)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("text", b"text"),
        ("Zürich", "Zürich".encode()),
        ("", b" "),
        ("padded\0\0", b"padded"),
        (5, b"5"),
        (None, b"null"),
        (True, b"true"),
        (["a", "b"], b'["a", "b"]'),
        ({"k": 1.5}, b'{"k": 1.5}'),
    ],
)
def test_values_are_text_or_json(value: object, expected: bytes) -> None:
    assert expected == general_datasets({"general/extra": value})["extra"]


def test_names_without_the_prefix_stand_there_too_and_none_is_lost() -> None:
    datasets = general_datasets({"channels": ["A"], "general/a/b": "x", "a_b": "y", "..": "z"})
    assert (datasets["channels"], datasets["a_b"], datasets["a_b(2)"], datasets["__"]) == (b'["A"]', b"x", b"y", b"z")
