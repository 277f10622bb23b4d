"""The switch to another user, done for real in processes of its own.

The tests' own interpreter may be unreadable for the other user, as it may be at a beamline: so imports come first.
"""

import json
import os
import pwd
import re
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from sf_bsread_writer.errors import ExitCode, SetupError
from sf_bsread_writer.privileges import KEEP, switch_user
from sf_bsread_writer.testing.programs import running

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can switch to another user")
as_user = pytest.mark.skipif(os.geteuid() == 0, reason="root may switch to any user")


def unknown_user() -> int:
    """A uid that has no entry in the user database."""
    known = {entry.pw_uid for entry in pwd.getpwall()}
    return next(uid for uid in range(54321, 60000) if uid not in known)


def user_with_most_groups() -> pwd.struct_passwd:
    """A user of this machine that is not root."""
    others = [entry for entry in pwd.getpwall() if entry.pw_uid != 0]
    return max(others, key=lambda entry: len(os.getgrouplist(entry.pw_name, entry.pw_gid)))


BEGIN = """
import json, os, sys, threading
from pathlib import Path
from sf_bsread_writer.acquire.destination import Destination
from sf_bsread_writer.errors import BsreadWriterError
from sf_bsread_writer.privileges import switch_user

def identity():
    return {"uids": os.getresuid(), "gids": os.getresgid(), "groups": sorted(os.getgroups())}
"""


def in_a_process(code: str, *arguments: object, start: Sequence[str] = ()) -> Any:
    """What the code prints as JSON; its arguments are in ``sys.argv[1:]``. ``start`` is a program that starts it."""
    command = [*start, sys.executable, "-c", BEGIN + code, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user can reach and write to; pytest's own are closed to others."""
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        Path(name).chmod(0o777)
        yield Path(name)


SWITCH = "switch_user(int(sys.argv[1])); print(json.dumps(identity()))"


def test_minus_one_keeps_the_user() -> None:
    before = (os.getresuid(), os.getresgid(), os.getgroups())
    switch_user(KEEP)
    assert (os.getresuid(), os.getresgid(), os.getgroups()) == before
    assert KEEP == -1


def test_the_current_users_own_id_needs_no_permission_and_changes_nothing() -> None:
    before = (os.getresuid(), os.getresgid(), os.getgroups())
    switch_user(os.getuid())
    assert (os.getresuid(), os.getresgid(), os.getgroups()) == before


@pytest.mark.parametrize("user_id", [-2, -(2**31), 2**32 - 1, 2**32, 2**64, 10**30])
def test_a_number_that_no_user_can_have_is_a_setup_error_that_names_it(user_id: int) -> None:
    with pytest.raises(SetupError, match=f"user id {user_id} cannot be.* -1 to keep") as caught:
        switch_user(user_id)
    assert caught.value.exit_code == ExitCode.SETUP


@as_user
def test_without_permission_it_is_a_setup_error_that_names_both_users() -> None:
    with pytest.raises(SetupError, match=f"cannot switch to user id 0: .*runs as user id {os.geteuid()}"):
        switch_user(0)


@as_root
def test_a_user_without_an_entry_gets_the_group_of_the_same_number_and_no_others() -> None:
    uid = unknown_user()
    assert in_a_process(SWITCH, uid) == {"uids": [uid] * 3, "gids": [uid] * 3, "groups": []}


@as_root
def test_a_user_with_an_entry_gets_its_own_group_and_all_supplementary_ones() -> None:
    user = user_with_most_groups()
    assert in_a_process(SWITCH, user.pw_uid) == {
        "uids": [user.pw_uid] * 3,
        "gids": [user.pw_gid] * 3,
        "groups": sorted(os.getgrouplist(user.pw_name, user.pw_gid)),
    }


@as_root
def test_groups_of_before_are_gone() -> None:
    uid = unknown_user()
    found = in_a_process("os.setgroups([0, 4, 77]); " + SWITCH, uid)
    assert found["groups"] == []


@as_root
def test_there_is_no_way_back_and_the_refusal_names_both_users() -> None:
    uid = unknown_user()
    code = """
switch_user(int(sys.argv[1]))
refusals = []
for user_id in (0, int(sys.argv[1]) + 1):
    try:
        switch_user(user_id)
    except BsreadWriterError as error:
        refusals.append([type(error).__name__, error.exit_code, str(error)])
print(json.dumps([identity(), refusals]))
"""
    found, refusals = in_a_process(code, uid)
    assert found["uids"] == [uid] * 3
    assert [(name, exit_code) for name, exit_code, _ in refusals] == [("SetupError", 3)] * 2
    assert [text.partition(";")[0] for _, _, text in refusals] == [
        f"cannot switch to user id {user_id}: Operation not permitted" for user_id in (0, uid + 1)
    ]
    assert f"runs as user id {uid}" in refusals[0][2]


@as_root
def test_root_may_be_root() -> None:
    assert in_a_process(SWITCH, 0)["uids"] == [0, 0, 0]


@as_root
def test_threads_that_run_already_switch_too() -> None:
    uid = unknown_user()
    code = """
switched = threading.Event()
found = []
def look():
    switched.wait(10)
    status = Path(f"/proc/self/task/{threading.get_native_id()}/status").read_text()
    found.extend(line.split()[1:] for line in status.splitlines() if line.startswith(("Uid:", "Gid:")))
thread = threading.Thread(target=look)
thread.start()
switch_user(int(sys.argv[1]))
switched.set()
thread.join()
print(json.dumps(found))
"""
    assert in_a_process(code, uid) == [[str(uid)] * 4] * 2


@as_root
def test_a_switch_that_went_wrong_unnoticed_is_noticed() -> None:
    code = """
os.setresuid = lambda *ids: None
try:
    switch_user(int(sys.argv[1]))
except BsreadWriterError as error:
    print(json.dumps(str(error)))
"""
    uid = unknown_user()
    assert in_a_process(code, uid).startswith(f"switched to user id {uid}, but runs as user ids [0]")


@as_root
@pytest.mark.skipif(shutil.which("setpriv") is None, reason="setpriv, of Debian's util-linux, gives capabilities to a user")
def test_a_user_who_was_given_the_right_to_switch_would_keep_it_and_is_refused() -> None:
    rights = "+setuid,+setgid"
    start = ["setpriv", "--reuid=1", "--regid=1", "--clear-groups", f"--inh-caps={rights}", f"--ambient-caps={rights}", "--"]
    code = """
try:
    switch_user(int(sys.argv[1]))
except BsreadWriterError as error:
    print(json.dumps([type(error).__name__, str(error)]))
"""
    name, text = in_a_process(code, unknown_user(), start=start)
    assert name == "SetupError"
    assert "kept the capabilities 0xc0" in text
    assert "start the program as root" in text


@as_root
def test_the_folder_of_the_output_file_is_created_as_that_user(open_folder: Path) -> None:
    uid = unknown_user()
    code = """
os.umask(0o022)
destination = Destination(sys.argv[2])
switch_user(int(sys.argv[1]))
destination.prepare()
destination.default.write_bytes(b"data")
print(json.dumps(str(destination.default)))
"""
    file = open_folder / "p12345" / "raw" / "run.h5"
    assert in_a_process(code, uid, file) == str(file)
    for created in (file, file.parent, file.parent.parent):
        status = created.stat()
        assert (status.st_uid, status.st_gid) == (uid, uid)
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o755


@as_root
def test_a_folder_closed_to_that_user_is_an_output_error_that_names_both(open_folder: Path) -> None:
    uid = unknown_user()
    open_folder.chmod(0o755)
    code = """
destination = Destination(sys.argv[2])
switch_user(int(sys.argv[1]))
try:
    destination.prepare()
except BsreadWriterError as error:
    print(json.dumps([type(error).__name__, str(error)]))
"""
    name, text = in_a_process(code, uid, open_folder / "new" / "run.h5")
    assert name == "OutputError"
    assert text.startswith(f"cannot create the folder (as user id {uid}) {open_folder}/new: Permission denied")


@as_root
def test_rest_answers_as_that_user_though_the_interpreters_files_may_be_closed_to_it() -> None:
    uid = unknown_user()
    code = """
import asyncio, logging
from sf_bsread_writer.rest.app import build_app
from sf_bsread_writer.rest.server import Server
from sf_bsread_writer.testing.acquisition import FakeAcquisition

async def ask(port, method, path):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"{method} {path} HTTP/1.1\\r\\nHost: localhost\\r\\nConnection: close\\r\\n\\r\\n".encode())
    answer = await reader.read()
    writer.close()
    return answer.split()[1].decode()

async def main():
    logging.basicConfig()
    acquisition = FakeAcquisition()
    server = Server(build_app(acquisition), port=0)
    server.bind()
    switch_user(int(sys.argv[1]))
    await server.start()
    codes = [await ask(server.port, *request) for request in (("GET", "/status"), ("GET", "/report"), ("GET", "/openapi.json"))]
    acquisition.failure = ZeroDivisionError()
    codes += [await ask(server.port, *request) for request in (("PUT", "/start_now"), ("GET", "/report"))]
    await server.stop()
    print(json.dumps([identity()["uids"][0], codes]))

asyncio.run(main())
"""
    assert in_a_process(code, uid) == [uid, ["200", "404", "200", "200", "500"]]


@as_root
@pytest.mark.system
def test_a_writer_that_has_switched_holds_nothing_that_its_user_could_not_open(open_folder: Path) -> None:
    uid = unknown_user()
    token = open_folder / "token"
    token.write_text("0123456789abcdef", encoding="ascii")
    token.chmod(0o600)
    arguments = ("tcp://127.0.0.1:1", open_folder / "run.h5", uid, 0, "--token_file", token)
    with running("writer", *arguments) as writer:
        port = int(writer.wait_for_line(r"REST on http://127.0.0.1:(\d+)")[1])
        process = Path(f"/proc/{writer.process.pid}")
        open_files = {int(each.name): os.readlink(each) for each in (process / "fd").iterdir()}
        sockets = {name[8:-1] for number, name in open_files.items() if number > 2 and name.startswith("socket:")}
        tcp = [line.split() for line in (process / "net" / "tcp").read_text(encoding="ascii").splitlines()[1:]]
        unix = [line.split() for line in (process / "net" / "unix").read_text(encoding="ascii").splitlines()[1:]]
        status = (process / "status").read_text(encoding="ascii")
        identity = {name: values.split() for name, values in re.findall(r"^(Uid|Gid|Groups|CapEff):(.*)$", status, re.MULTILINE)}
    kinds = {name.partition("[")[0] for number, name in open_files.items() if number > 2}
    assert kinds == {"anon_inode:", "socket:"}, open_files  # no file, folder or device beside what it was started with
    addresses = {line[1] for line in tcp if line[9] in sockets and line[3] == "0A"}
    assert addresses == {f"0100007F:{port:04X}"}
    assert port >= 1024
    assert [line[7:] for line in unix if line[6] in sockets] == [[], []]  # the event loop's own pair, without a name
    assert identity == {"Uid": [str(uid)] * 4, "Gid": [str(uid)] * 4, "Groups": [], "CapEff": ["0" * 16]}
