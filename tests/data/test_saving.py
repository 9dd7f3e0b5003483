"""A save replaces its file as a whole or not at all, whatever stops it."""

from __future__ import annotations

import errno
import os
import resource
import signal
import stat
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import minigrad as mg

TEMPORARY = ".minigrad-0.tmp"
LARGE = np.arange(1 << 17)  # a megabyte


def mode(path: Path) -> int:
    return stat.S_IMODE(os.stat(path).st_mode)


def in_child(action: Callable[[], None]) -> None:
    """Run the action in a fork, which may give up rights or limit itself; it must not raise."""
    with warnings.catch_warnings():  # of threads, which the child does not need
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if pid == 0:
        code = 1
        try:
            action()
            code = 0
        except BaseException:
            import traceback

            traceback.print_exc()
        finally:
            os._exit(code)
    assert os.waitpid(pid, 0)[1] == 0


def without_rights() -> None:
    if os.geteuid() == 0:  # may write everywhere
        os.setgid(65534)
        os.setuid(65534)


@pytest.fixture
def open_folder(tmp_path: Path) -> Path:
    """A folder that everybody reaches."""
    for folder in (tmp_path, *tmp_path.parents):
        if folder.stat().st_uid != os.geteuid() or folder.parent == Path(folder.anchor):
            break
        folder.chmod(folder.stat().st_mode | 0o055)
    return tmp_path


@pytest.mark.parametrize("length", [1, 200, 250, 255])
def test_long_names(tmp_path: Path, length: int) -> None:
    path = tmp_path / ("x" * length)
    mg.save(1, path)
    mg.save(2, path)
    assert mg.load(path) == 2 and os.listdir(tmp_path) == [path.name]


@pytest.mark.parametrize("bits", [0o600, 0o640, 0o664, 0o777, 0o444 | 0o200])
def test_the_mode_stays(tmp_path: Path, bits: int) -> None:
    path = tmp_path / "x"
    mg.save(1, path)
    path.chmod(bits)
    mg.save(2, path)
    assert mode(path) == bits and mg.load(path) == 2


@pytest.mark.parametrize("mask", [0o022, 0o027, 0o077, 0o000])
def test_a_new_file_follows_the_umask(tmp_path: Path, mask: int) -> None:
    before = os.umask(mask)
    try:
        mg.save(1, tmp_path / "x")
    finally:
        os.umask(before)
    assert mode(tmp_path / "x") == 0o666 & ~mask


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_the_owner_stays(tmp_path: Path) -> None:
    path = tmp_path / "x"
    mg.save(1, path)
    os.chown(path, 65534, 65534)
    mg.save(2, path)
    assert (path.stat().st_uid, path.stat().st_gid) == (65534, 65534)


def test_through_symbolic_links(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    real = tmp_path / "there" / "real"
    for link, target in (("a", "b"), ("b", "there/real")):
        (tmp_path / link).symlink_to(target)
    for value in (1, 2):  # first there is no such file, then there is
        mg.save(value, tmp_path / "a")
        assert mg.load(real) == value
        assert os.readlink(tmp_path / "a") == "b" and os.listdir(real.parent) == ["real"]


def test_what_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    for path, number in (
        (tmp_path, errno.EISDIR),
        (tmp_path / "none" / "x", errno.ENOENT),
        (tmp_path / "loop", errno.ELOOP),
        (tmp_path / ("x" * 256), errno.ENAMETOOLONG),
    ):
        with pytest.raises(OSError) as caught:
            mg.save(1, path)
        assert caught.value.errno == number
    assert os.listdir(tmp_path) == ["loop"]


def test_devices_and_pipes_are_written_to(tmp_path: Path) -> None:
    before = os.stat("/dev/null")
    mg.save([1, LARGE], "/dev/null")
    assert os.path.samestat(before, os.stat("/dev/null"))
    os.mkfifo(tmp_path / "pipe")
    found: list[bytes] = []
    reader = threading.Thread(target=lambda: found.append((tmp_path / "pipe").read_bytes()))
    reader.start()
    mg.save({"x": LARGE}, tmp_path / "pipe")
    reader.join()
    (tmp_path / "copy").write_bytes(found[0])
    assert (mg.load(tmp_path / "copy")["x"] == LARGE).all()
    assert stat.S_ISFIFO(os.stat(tmp_path / "pipe").st_mode)


def test_a_read_only_folder(open_folder: Path) -> None:
    path = open_folder / "x"
    mg.save(1, path)
    path.chmod(0o666)
    open_folder.chmod(0o555)

    def action() -> None:
        without_rights()
        for place in (path, open_folder / "new"):
            with pytest.raises(PermissionError, match="save: no file can be made in this folder"):
                mg.save(2, place)

    try:
        in_child(action)
    finally:
        open_folder.chmod(0o755)
    assert mg.load(path) == 1 and os.listdir(open_folder) == ["x"]


def test_a_read_only_file(open_folder: Path) -> None:
    """Its folder would let us replace it, which opening it for writing would not."""
    path = open_folder / "x"
    mg.save(1, path)
    path.chmod(0o444)
    open_folder.chmod(0o777)

    def action() -> None:
        without_rights()
        with pytest.raises(PermissionError, match="save: the file is read-only"):
            mg.save(2, path)

    in_child(action)
    assert mg.load(path) == 1 and os.listdir(open_folder) == ["x"]


@pytest.mark.parametrize("limit", [0, 100, 4096, 200_000, 1_000_000])
def test_a_full_disk(tmp_path: Path, limit: int) -> None:
    path = tmp_path / "x"
    mg.save("before", path)

    def action() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
        with pytest.raises(OSError, match="save: File too large; what was there is as it was"):
            mg.save({"x": LARGE, "y": [LARGE]}, path)
        assert mg.load(path) == "before" and os.listdir(tmp_path) == ["x"]
        with pytest.raises(OSError, match="save: File too large"):
            mg.save({"x": LARGE}, tmp_path / "new")
        assert os.listdir(tmp_path) == ["x"]

    in_child(action)
    with pytest.raises(OSError, match="No space left"):
        mg.save(LARGE, "/dev/full")


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, MemoryError, OSError, ValueError])
@pytest.mark.parametrize("at", range(4))
def test_any_exception_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[BaseException], at: int
) -> None:
    path = tmp_path / "x"
    mg.save("before", path)
    path.chmod(0o640)
    write = np.lib.format.write_array
    calls = iter(range(10))

    def fail(*args: object, **options: object) -> None:
        if next(calls) == at:
            raise error
        write(*args, **options)  # type: ignore[arg-type]

    if at < 3:
        monkeypatch.setattr(np.lib.format, "write_array", fail)
    else:
        monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(error()))
    with pytest.raises(error):
        mg.save([np.ones(3)] * 3, path)
    assert mg.load(path) == "before" and mode(path) == 0o640
    assert os.listdir(tmp_path) == ["x"]


def test_what_a_killed_process_leaves_is_removed(tmp_path: Path) -> None:
    code = f"""
import numpy as np, os, signal, minigrad as mg
def die(*_, **__): os.kill(os.getpid(), signal.SIGKILL)
np.lib.format.write_array = die
mg.save(np.ones(3), {str(tmp_path / "x")!r})
"""
    for _ in range(2):  # the second finds what the first has left
        run = subprocess.run([sys.executable, "-c", code])
        assert run.returncode == -signal.SIGKILL
        assert os.listdir(tmp_path) == [TEMPORARY]
    mg.save(1, tmp_path / "another")
    assert os.listdir(tmp_path) == ["another"]


def test_what_others_are_writing_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    replace = os.replace
    inner: list[list[str]] = []

    def meanwhile(source: str, target: str) -> None:
        if os.path.basename(target) == "outer":
            mg.save("inner", tmp_path / "inner")
            inner.append(sorted(os.listdir(tmp_path)))
        replace(source, target)

    monkeypatch.setattr(os, "replace", meanwhile)
    mg.save("outer", tmp_path / "outer")
    assert inner == [[TEMPORARY, "inner"]]
    assert mg.load(tmp_path / "outer") == "outer" and mg.load(tmp_path / "inner") == "inner"
    assert sorted(os.listdir(tmp_path)) == ["inner", "outer"]


def test_a_temporary_file_that_is_none_of_ours(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("keep")
    (tmp_path / TEMPORARY).symlink_to("precious")
    (tmp_path / ".minigrad-1.tmp").mkdir()
    mg.save(1, tmp_path / "x")
    assert (tmp_path / "precious").read_text() == "keep"
    assert sorted(os.listdir(tmp_path)) == [TEMPORARY, ".minigrad-1.tmp", "precious", "x"]


@pytest.mark.slow
def test_many_writers_some_of_which_are_killed(tmp_path: Path) -> None:
    """Of several writers of one file the last whole one stands; nobody takes another's file."""
    code = f"""
import numpy as np, minigrad as mg
print("ready", flush=True)
for i in range(10**9):
    mg.save({{"i": np.full(1000, i)}}, {str(tmp_path / "x")!r})
"""
    writers = [
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) for _ in range(3)
    ]
    for writer in writers:
        assert writer.stdout is not None and writer.stdout.readline() == b"ready\n"
    rng = np.random.default_rng(0)
    try:
        for number in range(len(writers)):
            until = time.monotonic() + 0.3 + 0.2 * rng.random()
            while time.monotonic() < until:
                if (tmp_path / "x").exists():
                    found = mg.load(tmp_path / "x")["i"]
                    assert (found == found[0]).all()
            assert writers[number].poll() is None  # has not failed
            writers[number].kill()
    finally:
        for writer in writers:
            writer.kill()
            writer.wait()
            assert writer.stdout is not None
            writer.stdout.close()
    mg.save(1, tmp_path / "x")
    assert os.listdir(tmp_path) == ["x"]
