"""Pulse ids, bodies and parameters as clients send them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sf_bsread_writer.errors import UsageError
from sf_bsread_writer.rest import parse

MANDATORY = {"general/created": "today", "general/user": "p1", "general/process": "test", "general/instrument": "ESA"}


@given(st.integers(0, 2**63 - 1))
def test_every_integer_from_0_to_the_limit_of_64_bits_is_a_pulse_id(pulse_id: int) -> None:
    assert pulse_id == parse.pulse_id(str(pulse_id))


def test_leading_zeros_do_not_change_a_pulse_id() -> None:
    assert parse.pulse_id("0005") == 5


@pytest.mark.parametrize(
    "text",
    ["", "x", "5.0", "1e3", "0x10", "1_000", " 5", "5\n", "+5", "--5", "-", "٣", "５", "nan", "None", "5;6"],
)
def test_what_is_not_a_plain_decimal_integer_is_refused_with_its_text(text: str) -> None:
    with pytest.raises(UsageError, match="is not an integer") as caught:
        parse.pulse_id(text)
    assert repr(text) in str(caught.value)


@pytest.mark.parametrize("text", [str(2**63), "-1", str(-(2**63)), "9" * 40, "9" * 41, "9" * 50_000, "0" * 50_000])
def test_integers_beyond_64_bits_are_refused_with_the_range(text: str) -> None:
    with pytest.raises(UsageError, match="out of range") as caught:
        parse.pulse_id(text)
    assert str(2**63 - 1) in str(caught.value)
    assert len(str(caught.value)) < 250


@pytest.mark.parametrize("body", [b"", b" \r\n", b"null", b"{}", b" {} "])
def test_no_body_and_an_empty_one_give_nothing(body: bytes) -> None:
    assert parse.json_object(body) == {}


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"{'a': 1}",
        b'{"a": 1,}',
        b"NaN",
        b"\xff",
        b'"\xff"',
        b"output_file=/x",
        b"[" * 100_000,
        b'{"a": 1} {}',
        b'"\\ud800"',
    ],
)
def test_broken_json_is_refused_and_shown(body: bytes) -> None:
    with pytest.raises(UsageError, match="is not JSON") as caught:
        parse.json_object(body)
    assert repr(body)[:60] in str(caught.value)


@pytest.mark.parametrize("body", [b"[]", b"1", b'"text"', b"true", b'[{"output_file": "/x"}]'])
def test_json_that_is_no_object_is_refused_and_shown(body: bytes) -> None:
    with pytest.raises(UsageError, match="must be a JSON object"):
        parse.json_object(body)


@given(st.binary(max_size=60))
def test_any_bytes_are_an_object_or_a_usage_error(body: bytes) -> None:
    text = ""
    try:
        assert isinstance(parse.json_object(body), dict)
    except UsageError as error:
        text = str(error)
    assert len(text) < 300


@pytest.mark.parametrize("given_body", [{}, {"output_file": None}, {"other": "/x"}])
def test_no_output_file_is_none(given_body: dict[str, object]) -> None:
    assert parse.output_file(given_body) is None


def test_an_output_file_is_passed_on_as_it_is() -> None:
    assert parse.output_file({"output_file": " ../ä.h5"}) == " ../ä.h5"


@pytest.mark.parametrize("value", [1, True, [], ["/x"], {"path": "/x"}])
def test_an_output_file_that_is_not_text_is_refused_with_its_value(value: object) -> None:
    with pytest.raises(UsageError, match="output_file must be text") as caught:
        parse.output_file({"output_file": value})
    assert repr(value) in str(caught.value)


def test_mandatory_parameters_suffice_and_others_are_allowed() -> None:
    parse.check_parameters(MANDATORY)
    parse.check_parameters({**MANDATORY, "channels": ["A", "B"], "general/comment": 5})


@pytest.mark.parametrize("name", sorted(MANDATORY))
def test_each_mandatory_parameter_is_missed_by_name(name: str) -> None:
    given_body = {key: value for key, value in MANDATORY.items() if key != name}
    with pytest.raises(UsageError, match=f"^Missing mandatory parameters: {name};"):
        parse.check_parameters(given_body)
