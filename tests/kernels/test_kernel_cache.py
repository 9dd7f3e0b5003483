"""numba's cache on a disk that is full, closed or damaged, and numba without its compiler."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from itertools import permutations
from pathlib import Path

import pytest

pytest.importorskip("numba")

from minigrad.kernels.machinery import cache

pytestmark = pytest.mark.slow  # each test starts several processes, which compile

# Runs a kernel twice (the first time it is compiled), and a C function; prints what was said.
PROGRAM = """
import resource, sys, warnings
import numpy as np
if "full" in sys.argv:
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[-1]), resource.RLIM_INFINITY))
import minigrad as mg
from minigrad import kernels
from minigrad.nn import functional as F
x = mg.tensor(np.arange(-3, 5000, dtype=np.float32))
with warnings.catch_warnings(record=True) as seen:
    warnings.simplefilter("always")
    for _ in range(2):
        assert F.relu(x).sum().item() == 12497500
    if "c" in sys.argv:
        assert (mg.full((1 << 17,), 4.0).sqrt().array == 2).all()
hits = 0
if kernels.kernels_in_use() == "numba":
    hits = sum(sys.modules["minigrad.kernels.compiled.relu"]._relu.stats.cache_hits.values())
print(kernels.kernels_in_use(), hits, len(seen), *[str(w.message) for w in seen])
"""


def run(*flags: str, **env: str) -> tuple[str, int, int, str]:
    """Which kernels, how often the cache had the first, how many warnings, and their text."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM, *flags],
        env={**os.environ, "MINIGRAD_KERNELS": "numba", **env}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    kernels, hits, said, *text = done.stdout.strip().split(maxsplit=3)
    return kernels, int(hits), int(said), "".join(text)


@pytest.mark.parametrize(("limit", "times"), [(0, 1), (8000, 2)])
def test_a_full_disk(tmp_path: Path, limit: int, times: int) -> None:
    for _ in range(times):  # the second time there may be leftovers of the first
        kernels, hits, said, text = run("c", "full", str(limit), NUMBA_CACHE_DIR=str(tmp_path))
        assert (kernels, hits, said) == ("numba", 0, 1)
        assert f"cannot be kept in {tmp_path}" in text and "File too large" in text
        assert "NUMBA_CACHE_DIR" in text
    if not limit:
        assert not [file for file in tmp_path.rglob("*") if file.is_file()]
        return  # as it was before
    assert run(NUMBA_CACHE_DIR=str(tmp_path)) == ("numba", 0, 0, "")  # there is room again
    assert run(NUMBA_CACHE_DIR=str(tmp_path)) == ("numba", 1, 0, "")


@pytest.fixture(scope="module")
def full_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the program compiles."""
    folder = tmp_path_factory.mktemp("cache")
    assert run(NUMBA_CACHE_DIR=str(folder)) == ("numba", 0, 0, "")
    return folder


def test_a_full_disk_leaves_no_old_code_under_a_new_name(tmp_path: Path, full_cache: Path) -> None:
    """numba writes the index first: without room for the code, it would name an old file."""
    shutil.copytree(full_cache, tmp_path, dirs_exist_ok=True)
    (code,) = tmp_path.rglob("*.nbc")
    (index,) = tmp_path.rglob("*.nbi")
    index.unlink()
    code.write_bytes(b"old code")
    run("full", "4000", NUMBA_CACHE_DIR=str(tmp_path))  # room for an index, not for code
    assert not index.exists() and code.read_bytes() == b"old code"


def test_two_processes_never_get_each_others_code(tmp_path: Path) -> None:
    """Each reads the index before the other has written it, and writes in any order."""
    steps = [(who, what) for who in "ab" for what in ("code", "index")]
    for order in permutations(range(4)):
        if order.index(0) > order.index(1) or order.index(2) > order.index(3):
            continue
        folder = tmp_path / str(order)
        folder.mkdir()
        names = dict.fromkeys("ab", "")
        made = {who: cache._Files(str(folder), "function", (1.0, 2)) for who in "ab"}
        known = {who: made[who]._load_index() for who in "ab"}
        for who, what in (steps[i] for i in order):
            if what == "code":
                names[who] = made[who].name_of(who)
                made[who]._save_data(names[who], f"code of {who}")
            else:
                made[who]._save_index({**known[who], who: names[who]})
        for who in "ab":
            assert made["a"].load(who) in (None, f"code of {who}")


def test_code_of_older_source_goes(tmp_path: Path) -> None:
    old, new = (cache._Files(str(tmp_path), "function", (1.0, size)) for size in (1, 2))
    other = cache._Files(str(tmp_path), "function2", (1.0, 1))
    other.save("a", "of another function")
    old.save("a", "old")
    old.save("b", "old")
    assert new.load("a") is None
    new.save("a", "new")
    assert (new.load("a"), old.load("a"), other.load("a")) == ("new", None, "of another function")
    assert len(list(tmp_path.glob("*.nbc"))) == 2


def test_a_change_in_any_file_of_kernels_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Functions of one file are compiled into those of others."""
    for room in ("machinery", "compiled"):
        (tmp_path / room).mkdir()
    other = tmp_path / "compiled" / "functions.py"
    seen = set()
    monkeypatch.setattr(cache, "__file__", str(tmp_path / "machinery" / "cache.py"))
    for text in ("x = 1", "x = 2"):
        other.write_text(text)
        seen.add(cache._source.__wrapped__())
    assert len(seen) == 2


@pytest.mark.parametrize("folder", ["/proc/minigrad", "/dev/null/minigrad"])
def test_a_folder_that_cannot_be_made(folder: str) -> None:
    """numba then takes a place of its own choice, in silence."""
    kernels, _, said, text = run("c", NUMBA_CACHE_DIR=folder)
    assert kernels == "numba" and said == 0, text


def test_no_folder_at_all() -> None:
    # a locator for notebooks, which finds no place for a file
    kernels, hits, said, text = run("c", NUMBA_CACHE_LOCATOR_CLASSES="IPythonCacheLocator")
    assert (kernels, hits, said) == ("numba", 0, 1)
    assert "NUMBA_CACHE_DIR" in text


@pytest.mark.parametrize("what", ["*.nbi", "*.nbc"])
@pytest.mark.parametrize("content", [b"junk", None], ids=["junk", "cut off"])
def test_damaged_files_are_made_anew(
    tmp_path: Path, full_cache: Path, what: str, content: bytes | None
) -> None:
    shutil.copytree(full_cache, tmp_path, dirs_exist_ok=True)  # with the times of its files
    files = list(tmp_path.rglob(what))
    assert files
    for file in files:
        file.write_bytes(file.read_bytes()[:-20] if content is None else content)
    assert run(NUMBA_CACHE_DIR=str(tmp_path)) == ("numba", 0, 0, "")
    assert run(NUMBA_CACHE_DIR=str(tmp_path)) == ("numba", 1, 0, "")


def test_without_the_compiler() -> None:
    kernels, _, said, text = run("c", NUMBA_DISABLE_JIT="1")
    assert (kernels, said) == ("numpy", 1)
    assert text == (
        "numba cannot be used (NUMBA_DISABLE_JIT is set); minigrad uses its numpy kernels"
    )
