"""The program ``sf_bsread`` as a whole: help, version, errors, the end."""

import signal
import subprocess
import sys

import pytest

from sf_bsread_writer import __version__, cli
from sf_bsread_writer.cli import SUBCOMMANDS, main
from sf_bsread_writer.errors import ExitCode, OutputError, UsageError


def test_help_names_every_subcommand(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    out = capsys.readouterr().out
    assert [name for module in SUBCOMMANDS if (name := module.__name__.rpartition(".")[2]) not in out] == []


@pytest.mark.parametrize("module", SUBCOMMANDS, ids=lambda module: module.__name__.rpartition(".")[2])
def test_subcommand_is_named_as_its_module(
    module: object, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    name = str(getattr(module, "__name__", "")).rpartition(".")[2]
    with pytest.raises(SystemExit) as ended:
        main([name, "--help"])
    assert ended.value.code == 0
    assert f"usage: sf_bsread {name}" in capsys.readouterr().out


def test_version_is_that_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--version"])
    assert capsys.readouterr().out == f"sf_bsread {__version__}\n"


@pytest.mark.parametrize("arguments", [[], ["no-such-command"], ["simulate", "--rate", "fast"]])
def test_wrong_arguments_end_with_the_usage_code(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == ExitCode.USAGE


def test_an_option_that_a_command_has_not_leads_to_the_help_of_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["capture", "--lst", "10s", "interesting.h5"])
    assert ended.value.code == ExitCode.USAGE
    expected = "sf_bsread capture: error: unrecognized arguments: --lst interesting.h5; see sf_bsread capture --help\n"
    assert capsys.readouterr().err == expected


@pytest.mark.parametrize(
    "option",
    [
        ["--port", "70000"],
        ["--rate", "nan"],
        ["--rate", "-1"],
        ["--clock_offset", "inf"],
        ["--missing", "2"],
        ["--gap", "5"],
        ["--gap", "5:1"],
        ["--step_back", "5:x"],
        ["--change_header_at", "0"],
        ["--duplicate", "-1"],
        ["--messages", "0"],
        ["--queue", "0"],
        ["--first_pulse_id", "9223372036854775808"],
        ["--preset", "none"],
        ["--channel", "A:colour"],
    ],
    ids=" ".join,
)
def test_unusable_option_of_the_simulator_is_told_in_one_line(option: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["simulate", *option]) == ExitCode.USAGE
    out, error = capsys.readouterr()
    assert out == ""
    assert error.startswith("sf_bsread simulate: ")
    assert error.count("\n") == 1


@pytest.mark.parametrize("error", [UsageError("no such colour"), OutputError("disk full")], ids=["usage", "output"])
def test_error_is_one_line_and_the_exit_code_of_its_class(
    error: UsageError | OutputError, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(args: object) -> int:
        raise error

    monkeypatch.setattr(cli.simulate, "run", fail)
    assert main(["simulate"]) == error.exit_code
    assert capsys.readouterr().err == f"sf_bsread simulate: {error}\n"


def test_ctrl_c_ends_quietly(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(args: object) -> int:
        signal.raise_signal(signal.SIGINT)
        raise AssertionError("not interrupted")

    monkeypatch.setattr(cli.simulate, "run", interrupt)
    assert main(["simulate"]) == ExitCode.INTERRUPTED
    assert capsys.readouterr() == ("", "")


@pytest.mark.system
def test_reader_that_has_gone_is_no_error() -> None:
    code = (
        "import sys; from sf_bsread_writer import cli\n"
        "cli.simulate.run = lambda args: print('x' * 1000_000) or 0\n"
        "sys.exit(cli.main(['simulate']))"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.read(1)
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == ExitCode.COMPLETE


@pytest.mark.system
def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; from sf_bsread_writer.cli import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "print(*(name for name in ('numpy', 'h5py', 'asyncio', 'litestar', 'rich', 'msgspec') if name in sys.modules), sep=',')"
    )
    out = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=30).stdout
    assert out.splitlines()[-1] == ""
