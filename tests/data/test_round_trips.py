"""Whatever `save` takes, `load` gives back: structures and names that hypothesis makes up."""

from __future__ import annotations

import io
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

import minigrad as mg

SHAPES = npst.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3)
FLOATS, OTHERS = ("f2", "f4", "f8"), ("i1", "i2", "i4", "i8", "u1", "?")
TEXTS = st.text(st.characters(exclude_categories=[]), max_size=6)  # surrogates and NUL, too
NAMES = st.one_of(TEXTS, st.sampled_from(["a", "a.npy", "a.npy.npy", "a/b", "__metadata__"]))


def arrays(*dtypes: str) -> st.SearchStrategy[Any]:
    """Arrays with NaN, infinities and -0, in row-major order and in others."""
    found = st.sampled_from(dtypes).flatmap(lambda kind: npst.arrays(kind, SHAPES))
    return st.one_of(found, found.map(lambda a: a.T), found.map(lambda a: a[::-2] if a.ndim else a))


TENSORS = st.one_of(
    arrays(*FLOATS).map(lambda a: mg.from_numpy(a).requires_grad_()),
    arrays(*FLOATS, *OTHERS).map(mg.from_numpy),
)
NUMBERS = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.complex_numbers())
KEYS = st.recursive(st.one_of(NUMBERS, TEXTS), lambda parts: st.lists(parts, max_size=2).map(tuple))
THINGS = st.recursive(
    st.one_of(NUMBERS, TEXTS, TENSORS, arrays(*FLOATS, *OTHERS, "c16", "<U3", ">f4")),
    lambda things: st.one_of(
        st.lists(things, max_size=3),
        st.lists(things, max_size=3).map(tuple),
        st.dictionaries(KEYS, things, max_size=3),
        st.dictionaries(KEYS, things, max_size=3).map(OrderedDict),
    ),
    max_leaves=6,
)


def same(a: Any, b: Any) -> bool:
    """Whether both are of one kind, and the same to the bit."""
    if type(a) is not type(b):
        return False
    if isinstance(a, mg.Tensor):
        return a.requires_grad == b.requires_grad and same(a.array, b.array)
    if isinstance(a, np.ndarray):
        return (a.dtype, a.shape, a.tobytes()) == (b.dtype, b.shape, b.tobytes())
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return same(list(a.items()), list(b.items()))
    return repr(a) == repr(b)


@given(THINGS)
def test_a_structure(thing: Any) -> None:
    file = io.BytesIO()
    mg.save(thing, file)
    file.seek(0)
    assert same(mg.load(file), thing)


@pytest.fixture(scope="module", params=[".npz", ".safetensors"])
def path(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    if request.param == ".safetensors":
        pytest.importorskip("safetensors")
    return tmp_path_factory.mktemp("files") / f"x{request.param}"


@pytest.mark.slow
@given(state=st.dictionaries(NAMES, arrays(*FLOATS, *OTHERS), max_size=3))
def test_tensors_by_name(path: Path, state: dict[str, Any]) -> None:
    """Read under the names that they had, or refused, and then nothing is written."""
    path.unlink(missing_ok=True)
    try:
        mg.save({name: mg.from_numpy(a) for name, a in state.items()}, path)
    except ValueError as error:
        assert "does not hold a tensor named" in str(error) and not path.exists()
        assert any(set(name) & {"\0", *map(chr, range(0xD800, 0xE000))} for name in state) or (
            "__metadata__" in state
        )
    else:
        loaded = mg.load(path)
        assert loaded.keys() == state.keys()
        for name, a in state.items():
            assert same(loaded[name].array, a)
