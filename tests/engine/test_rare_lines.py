"""Lines of the engine that no other test reaches."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import config, modes, tables
from minigrad.names import NoAttribute


def test_a_decorator_that_sets_the_mode_changes_nothing_before_the_call() -> None:
    x = mg.ones(2, requires_grad=True)

    @mg.set_grad_enabled(False)
    def doubled(v: Any) -> Any:
        return v * 2

    assert mg.is_grad_enabled()
    for _ in range(2):
        assert not doubled(x).requires_grad and mg.is_grad_enabled()
    with mg.no_grad():
        again = mg.set_grad_enabled(True)(doubled)
        assert not mg.is_grad_enabled()
    assert not again(x).requires_grad  # the inner one holds


def test_a_method_without_gradient_is_found_on_its_class() -> None:
    class Model:
        @mg.no_grad
        def double(self, x: Any) -> Any:
            return x * 2

    x = mg.ones(2, requires_grad=True)
    assert isinstance(vars(Model)["double"], modes.no_grad)
    assert Model.double is vars(Model)["double"]
    for y in (Model.double(Model(), x), Model().double(x)):
        assert y.tolist() == [2, 2] and not y.requires_grad


def test_integers_of_more_than_64_bits() -> None:
    assert mg.tensor([10**30], dtype=mg.float64).item() == 1e30
    for dtype in (mg.float64, mg.int64):
        with pytest.raises((ValueError, RuntimeError), match="tensor"):
            mg.tensor([10**400], dtype=dtype)


def test_vmap_of_tuples_and_to_dicts() -> None:
    a, b = mg.arange(6.0).reshape(3, 2), mg.arange(3.0)
    mapped = mg.func.vmap(lambda pair: {"sum": pair[0].sum() + pair[1], "all": [pair[0] * 2]})
    found = mapped((a, b))
    assert found["sum"].tolist() == (a.array.sum(1) + b.array).tolist()
    assert found["all"][0].tolist() == (a.array * 2).tolist()


def test_texts() -> None:
    assert repr(NoAttribute("x", "y", lambda: ())) == 'AttributeError("x has no attribute \'y\'")'
    assert tables.size(3.2e9) == "3.2 GB"
    with pytest.raises(NotImplementedError):
        mg.autograd.Function.setup_context(None, (), None)
    assert mg.multiprocessing.__name__ == "minigrad.multiprocessing"
    assert mg.autograd.Variable().shape == mg.Tensor().shape
    assert repr(mg.contiguous_format) == "minigrad.contiguous_format"


def test_what_a_bug_report_needs(monkeypatch: pytest.MonkeyPatch, kernels: str) -> None:
    lines = dict(line.split(None, 1) for line in mg.show_config().splitlines() if line[0] != " ")
    assert lines["numpy"] == np.__version__ and lines["kernels"] == kernels
    assert lines["threads"].startswith(f"{mg.get_num_threads()} of ")
    assert lines.keys() >= {"minigrad", "python", "numba", "blas", "products"}
    assert ("np.matmul" in lines["products"]) or kernels == "numba"
    monkeypatch.setattr("minigrad.config._has_avx512", lambda: True)
    pool = {"user_api": "blas", "internal_api": "openblas", "version": "1", "num_threads": 3}
    monkeypatch.setattr(
        "threadpoolctl.threadpool_info", lambda: [pool | {"architecture": "Haswell"}]
    )
    monkeypatch.setattr("minigrad.kernels.blas", lambda: None)
    text = mg.show_config()
    assert "Haswell kernels, 3 threads" in text and "OPENBLAS_CORETYPE=SkylakeX" in text
    assert "cannot be called by address" in text or kernels == "numpy"
    monkeypatch.setitem(sys.modules, "threadpoolctl", None)
    assert mg.show_config().splitlines()[-1] == "blas      unknown (install threadpoolctl)"


def test_without_a_version_or_a_list_of_features(monkeypatch: pytest.MonkeyPatch) -> None:
    assert config._version("no-such-package-here") == "not installed"
    assert isinstance(config._has_avx512(), bool)
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "numpy._core._multiarray_umath", None)
        assert config._has_avx512() is False


def test_warming_up_draws_no_random_number(kernels: str) -> None:
    before = mg.get_rng_state()
    assert mg.warmup() > 0
    assert repr(mg.get_rng_state()) == repr(before)


def test_what_is_compiled_is_counted(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    numba = pytest.importorskip("numba")
    if numba.config.DISABLE_JIT:
        pytest.skip("nothing is compiled")
    with mg.use_kernels("numba"):
        with config.compiling():
            pass
        assert capsys.readouterr().err == ""
        monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
        with config.compiling():
            assert numba.njit(lambda x: x + 1)(1) == 2
    said = capsys.readouterr().err
    assert said.startswith("\rcompiling kernels, once: 1")
    assert "compiled 1 kernels in" in said
