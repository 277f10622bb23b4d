"""The command line of sf_bsread_writer."""

from pathlib import Path

import pytest

from sf_bsread_writer import writer
from sf_bsread_writer.errors import ExitCode, UsageError
from sf_bsread_writer.message.types import Compression
from sf_bsread_writer.writer import WriterConfig, main, parse_config
from sf_bsread_writer.zmtp.address import Address

POSITIONALS = ["tcp://localhost:8082", "/data/run.h5", "-1", "9555"]


def test_the_four_positionals_of_production_are_enough() -> None:
    config = parse_config(POSITIONALS)

    assert (config.stream, config.output_file, config.user_id, config.rest_port) == (
        Address("localhost", 8082),
        "/data/run.h5",
        -1,
        9555,
    )
    assert (config.log_level, config.mode, config.overwrite, config.output_root) == ("INFO", "auto", False, None)


def test_options_may_stand_before_and_behind_the_positionals() -> None:
    before = parse_config(["--stall_timeout", "5", "--memory_limit", "1G", *POSITIONALS])
    behind = parse_config([*POSITIONALS, "--memory_limit", "1G", "--stall_timeout", "5"])

    assert before == behind
    assert (before.stall_timeout_s, before.memory_limit_bytes) == (5.0, 1 << 30)


def test_compression_takes_memory_in_proportion() -> None:
    options = [
        parse_config([*POSITIONALS, "--compression", "bitshuffle_lz4", "--memory_limit", limit]).file_options
        for limit in ("1G", "32M")
    ]

    assert [each.compression for each in options] == [Compression.BITSHUFFLE_LZ4] * 2
    assert [each.compressing_bytes for each in options] == [64 << 20, 8 << 20]
    assert parse_config(POSITIONALS).file_options.compression is Compression.NONE


def test_a_folder_for_rest_s_files_can_be_given() -> None:
    assert parse_config([*POSITIONALS, "--output_root", "/data"]).output_root == Path("/data")


@pytest.mark.parametrize(
    ("position", "value", "complaint"),
    [
        (0, "localhost:8082", "stream address 'localhost:8082' does not begin with tcp://"),
        (3, "65536", "rest_port 65536"),
        (3, "-5", "rest_port -5"),
    ],
)
def test_unusable_values_are_told_with_the_value(position: int, value: str, complaint: str) -> None:
    arguments = [*POSITIONALS]
    arguments[position] = value

    with pytest.raises(UsageError, match=complaint):
        parse_config(arguments)


@pytest.mark.parametrize(
    "arguments",
    [
        POSITIONALS[:3],
        [*POSITIONALS, "--stall_timeout", "0"],
        [*POSITIONALS, "--stall_timeout", "nan"],
        [*POSITIONALS, "--memory_limit", "much"],
        [*POSITIONALS, "--compression", "gzip"],
        [*POSITIONALS, "--unknown"],
        ["tcp://localhost:8082", "/data/run.h5", "somebody", "9555"],
    ],
)
def test_the_command_line_itself_is_refused_with_code_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)

    assert ended.value.code == 2
    assert "sf_bsread_writer: error:" in capsys.readouterr().err


def test_an_unusable_value_while_it_runs_is_no_mistake_of_the_command_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def serve(config: WriterConfig) -> ExitCode:
        raise UsageError("start point pulse -1 is not in range")

    monkeypatch.setattr(writer, "serve", serve)
    assert main(POSITIONALS) == ExitCode.INTERNAL
    output = "".join(capsys.readouterr())
    assert "UsageError: start point pulse -1 is not in range" in output
    assert "--help" not in output
