"""``sf_bsread completion``: real shells complete with what it prints."""

import shutil
import subprocess
from pathlib import Path

import pytest

from sf_bsread_writer.cli import SUBCOMMANDS, main
from sf_bsread_writer.cli.completion import PROGRAMS, SHELLS
from sf_bsread_writer.errors import ExitCode


@pytest.fixture
def script(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """Of all programs, for bash."""
    path = tmp_path / "completion.bash"
    with path.open("w") as file:
        for program in PROGRAMS:
            assert main(["completion", "bash", program]) == ExitCode.COMPLETE
            file.write(capsys.readouterr().out)
    return path


def completed(script: Path, *words: str) -> set[str]:
    """What bash offers for the last word; it is asked as if the Tab key was pressed, in the script's folder."""
    asking = (
        'source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMP_LINE="$*"; COMP_POINT=${#COMP_LINE}; '
        'function=$(complete -p "$1"); function=${function##*-F }; function=${function%% *}; '
        '"$function" "$1" "${@: -1}" "${@: -2:1}"; printf "%s\\n" "${COMPREPLY[@]}"'
    )
    command = ["bash", "--norc", "-c", asking, "bash", str(script), *words]
    done = subprocess.run(command, cwd=script.parent, capture_output=True, text=True, timeout=30, check=True)
    return set(done.stdout.split())


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")
def test_bash_completes_subcommands_options_choices_and_files(script: Path) -> None:
    (script.parent / "run.h5").touch()
    assert completed(script, "sf_bsread", "") >= {module.__name__.rpartition(".")[2] for module in SUBCOMMANDS}
    assert completed(script, "sf_bsread", "rec") == {"recover"}
    assert completed(script, "sf_bsread", "check", "--h") == {"--help", "--html"}
    assert completed(script, "sf_bsread", "simulate", "--mode", "pu") == {"push", "pub"}
    assert completed(script, "sf_bsread", "check", "run") == {"run.h5"}
    assert completed(script, "sf_bsread_buffer", "--mem") == {"--memory_limit"}
    assert completed(script, "sf_bsread_writer", "--compression", "bit") == {"bitshuffle_lz4"}


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("program", PROGRAMS)
def test_every_shell_finds_nothing_wrong_with_its_script(
    program: str, shell: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["completion", shell, program]) == ExitCode.COMPLETE
    script = tmp_path / "script"
    script.write_text(capsys.readouterr().out)
    assert program in script.read_text()
    if shutil.which(shell) is not None:
        subprocess.run([shell, "-n", script], check=True, timeout=30)
