"""Files that are replaced as a whole or not at all."""

from __future__ import annotations

import errno
import io
import itertools
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import BinaryIO

WINDOWS = os.name == "nt"  # where an open file is not renamed or removed


@contextmanager
def replacing(path: str, who: str) -> Iterator[BinaryIO]:
    """A new file that takes the place of the one at `path` once the block has succeeded.

    Until then it lies in the same folder as `.minigrad-0.tmp` (or 1, 2, … while others write
    there), and it is gone after any error. A process that is killed leaves it, and the next one
    that writes there removes it. The file keeps the mode and owner of the one before; through a
    symbolic link, that to which the link leads is replaced. What is no regular file, a device or a
    pipe, is written to directly.

    Raises:
        OSError: the file or the folder cannot be written; what was there is as it was.
    """
    try:
        before = os.stat(path)
    except FileNotFoundError:
        before = None
    if before is not None and stat.S_ISDIR(before.st_mode):
        raise IsADirectoryError(errno.EISDIR, f"{who}: expected a file, this is a folder", path)
    if before is not None and not os.access(path, os.W_OK):
        raise PermissionError(errno.EACCES, f"{who}: the file is read-only", path)
    if before is not None and not stat.S_ISREG(before.st_mode):
        with _Stream(io.FileIO(path, "wb")) as stream:
            yield stream
        return
    target = os.path.realpath(path)
    number, temporary = _new_file(os.path.dirname(target), who)
    file = open(number, "wb")  # noqa: SIM115  closed below: closing may fail after writing has
    try:
        yield file
        file.flush()
        if before is not None:
            _make_alike(number, before)
        os.fsync(number)
        if WINDOWS:
            file.close()
        os.replace(temporary, target)
    except BaseException as error:
        if _is_at(number, temporary) and not WINDOWS:
            os.unlink(temporary)  # while it is locked: later, the path may be somebody else's
        with suppress(OSError):
            file.close()
        if isinstance(error, OSError) and error.filename is None:
            reason = f"{who}: {error.strerror}; what was there is as it was"
            raise OSError(error.errno, reason, path) from error
        raise
    file.close()


class _Stream(io.BufferedWriter):
    """A device, whose position means nothing, even if it has one."""

    def tell(self) -> int:
        raise io.UnsupportedOperation("tell")


def _new_file(folder: str, who: str) -> tuple[int, str]:
    """A new file in the folder, locked as long as it is open: its descriptor and its path."""
    names = (os.path.join(folder, f".minigrad-{i}.tmp") for i in itertools.count())
    path = next(names)
    while True:
        try:
            number = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
        except FileExistsError:
            if not _remove_abandoned(path):  # somebody is writing it
                path = next(names)
            continue
        except OSError as error:
            raise OSError(
                error.errno,
                f"{who}: no file can be made in this folder ({error.strerror}); it is needed to "
                "replace one as a whole",
                folder,
            ) from None
        if _lock(number) is not False and _is_at(number, path):
            break
        os.close(number)  # somebody took it for abandoned before it was locked
    for other in itertools.takewhile(os.path.lexists, names):
        _remove_abandoned(other)
    return number, path


def _lock(number: int) -> bool | None:
    """Whether a file could be locked; None where the system or its file system has no locks."""
    try:
        import fcntl
    except ImportError:  # on Windows
        return None
    try:
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def _remove_abandoned(path: str) -> bool:
    """Remove a file that no process has locked. Only then is it known that nobody writes it."""
    try:
        number = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
    except FileNotFoundError:
        return True
    except OSError:
        return False
    try:
        # Renamed in the meantime, it is somebody's finished file, and another may lie at the path.
        if not _lock(number) or not _is_at(number, path):
            return False
        os.unlink(path)
        return True
    except OSError:
        return False
    finally:
        os.close(number)


def _is_at(number: int, path: str) -> bool:
    """Whether the open file is the one that lies at the path."""
    with suppress(OSError):
        return os.path.samestat(os.fstat(number), os.stat(path, follow_symlinks=False))
    return False


def _make_alike(number: int, before: os.stat_result) -> None:
    """Give a file the owner of another if that is allowed, and its mode."""
    with suppress(OSError, AttributeError):  # Windows does not have them
        if (before.st_uid, before.st_gid) != (os.geteuid(), os.getegid()):
            os.fchown(number, before.st_uid, before.st_gid)
    with suppress(OSError, AttributeError):  # some file systems have no modes
        os.fchmod(number, stat.S_IMODE(before.st_mode))
