"""Where an acquisition may be written: the rules for paths from the command line and from REST.

The command line may name any file. REST is open to every user of the machine, and the writer may run as another one of them:
what comes that way has to lie below one folder, the root. Both are resolved anew for each request, links and ``..`` included,
because folders come and go while a writer waits.
"""

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sf_bsread_writer.errors import OutputError, UsageError
from sf_bsread_writer.hdf5.place import coded_error, output_error

DRY_RUN = Path(os.devnull)
"""This output file means: do everything but write. It is in use at beamlines, and allowed whatever the root is."""


class Destination:
    """The command line's output file, and the rule for others.

    ``root`` is the folder that REST's output files have to lie below; None takes the folder of ``output_file``, and with a
    dry run there is none. Relative paths start in the current folder. ``what`` REST calls such a file, and ``option`` sets the
    root. Raises UsageError for what cannot be a file's name.
    """

    def __init__(
        self, output_file: str, *, root: Path | None = None, what: str = "output_file", option: str = "--output_root"
    ) -> None:
        self._what, self._option = what, option
        default = self._file_at(output_file, Path()).absolute()
        self.default: Path | None = None if _resolved(default) == DRY_RUN else default
        folder = None if self.default is None else self.default.parent
        self._root = folder if root is None else root.absolute()
        self._base = folder or self._root
        self._is_kept_below_root = root is not None and folder is not None and _is_below(folder, root)

    def resolve(self, output_file: str | None) -> Path | None:
        """The absolute path to write to, None for a dry run. ``output_file`` is what REST asks for, None if it does not.

        A relative one starts in the folder of the command line's file, or in the root if that is a dry run. The default is
        given back as it is, others without links and ``..``. Raises UsageError with the path and the root.
        """
        if output_file is None:
            return self.default
        path = _resolved(self._file_at(output_file, self._base or Path("/")))
        if path == DRY_RUN:
            return None
        if self._root is None:
            raise UsageError(
                f"{self._what} {output_file!r} is not allowed: the writer was started with {DRY_RUN} and without {self._option}; "
                f"send {str(DRY_RUN)!r}, or start it with {self._option} FOLDER"
            )
        root = _resolved(self._root)
        if root not in path.parents:
            raise UsageError(
                f"{self._what} {output_file!r} is not allowed: {str(path)!r} is not below {str(root)!r}; "
                f"choose a path below that folder, or start the program with another {self._option}"
            )
        if path.is_dir():
            raise UsageError(f"{self._what} {output_file!r} is a folder; add the name of a file")
        return path

    def check(self, path: Path) -> None:
        """Raises OutputError if a path that `resolve` gave leads elsewhere by now: a link has taken the place of a folder.

        The command line's own file may lie behind links, unless it was below the root that was given, and behind none.
        """
        real = _resolved(path.parent)
        if (path != self.default or self._is_kept_below_root) and real != path.parent:
            raise OutputError(
                f"{str(path)!r} leads to {str(real / path.name)!r} by now: somebody has replaced one of its folders by a link; "
                "a file that is begun keeps its name with .partial, wherever its folder is"
            )

    def prepare(self) -> None:
        """Creates the missing folders of the command line's file, as the current user, and tries whether files can be made there.

        Found out now, it is told while somebody looks; found out at the start of the acquisition, the pulses are lost. Raises
        OutputError if it cannot be, UsageError if the file is a folder.
        """
        if self.default is None:
            return
        folder, user = self.default.parent, f"(as user id {os.geteuid()})"
        with _told(f"create the folder {user}", folder):
            folder.mkdir(parents=True, exist_ok=True)
        with _told(f"create a file {user} in", folder), tempfile.TemporaryFile(dir=folder):
            pass
        if self.default.is_dir():
            raise UsageError(f"{self._what} {str(self.default)!r} is a folder; add the name of a file")

    def _file_at(self, text: str, base: Path) -> Path:
        """The path of this name, from ``base`` if it is relative; raises UsageError for names that no file can have."""
        if "\0" in text or os.path.basename(text) in ("", ".", ".."):
            raise UsageError(f"{self._what} {text!r} is not the name of a file; give for example /data/run_000042.BSREAD.h5")
        return base / text


@contextmanager
def _told(doing: str, folder: Path) -> Iterator[None]:
    try:
        yield
    except FileExistsError as error:
        raise coded_error(errno.ENOTDIR, doing, folder) from error
    except OSError as error:
        raise output_error(error, doing, folder) from error


def _is_below(folder: Path, root: Path) -> bool:
    """Whether it is the root or below it, and there is no link on the way to it."""
    real = _resolved(root)
    return _resolved(folder) == folder and real in (folder, *folder.parents)


def _resolved(path: Path) -> Path:
    """Without links and ``..``, as far as the path exists. `Path.resolve` would raise for links in a circle."""
    real = os.path.realpath(path)
    return Path("/" + real.lstrip("/"))  # POSIX keeps two slashes at the beginning apart from one; Linux does not
