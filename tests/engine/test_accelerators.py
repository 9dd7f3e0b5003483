"""A machine without accelerators: its answers are PyTorch's, and what is not here says so."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn
from minigrad.names import INSTEAD

ASKED = [
    "cuda.is_available()", "cuda.device_count()", "cuda.manual_seed(1)", "cuda.manual_seed_all(1)",
    "cuda.empty_cache()", "cuda.is_initialized()", "cuda.is_bf16_supported()",
    "cuda.memory_allocated()", "cuda.max_memory_allocated()", "cuda.memory_reserved()",
    "cuda.max_memory_reserved()", "cuda.reset_peak_memory_stats()", "cuda.synchronize()",
    "cuda.current_device()", "cuda.set_device(0)", "cuda.get_device_name()", "mps.is_available()",
    "mps.device_count()", "mps.manual_seed(1)", "mps.empty_cache()", "mps.synchronize()",
    "backends.mps.is_available()", "backends.mps.is_built()", "backends.cuda.is_built()",
    "backends.cudnn.is_available()", "backends.cudnn.version()", "backends.cudnn.enabled",
    "backends.cudnn.benchmark", "backends.cudnn.deterministic", "backends.cudnn.allow_tf32",
    "backends.cuda.matmul.allow_tf32", "accelerator.is_available()", "accelerator.device_count()",
    "accelerator.current_accelerator()", "accelerator.synchronize()",
]  # fmt: skip


@pytest.mark.parametrize("asked", ASKED)
def test_answers(asked: str) -> None:
    torch = pytest.importorskip("torch")
    if torch.accelerator.is_available():
        pytest.skip("this machine has an accelerator")

    def answer(library: Any) -> Any:
        try:
            return eval(f"library.{asked}", {"library": library})
        except (RuntimeError, AssertionError, AttributeError):
            return RuntimeError

    assert answer(mg) == answer(torch)
    if answer(mg) is RuntimeError:
        with pytest.raises(RuntimeError, match="the CPU is the only device there is"):
            eval(f"library.{asked}", {"library": mg})


@pytest.fixture
def cudnn() -> Iterator[Any]:
    """The module as scripts import it, its flags put back afterwards."""
    module: Any = importlib.import_module("minigrad.backends.cudnn")
    before = {k: getattr(module, k) for k in ("enabled", "benchmark", "deterministic")}
    yield module
    for key, value in before.items():
        setattr(module, key, value)


def test_flags_can_be_set(cudnn: Any) -> None:
    assert cudnn is mg.backends.cudnn
    for flag in ("enabled", "benchmark", "deterministic"):
        changed = not getattr(mg.backends.cudnn, flag)
        setattr(cudnn, flag, changed)
        assert getattr(mg.backends.cudnn, flag) is changed


@pytest.mark.parametrize("name", ["cuda", "mps", "accelerator", "backends", "backends.mps"])
def test_they_import_as_modules(name: str) -> None:
    module = importlib.import_module(f"minigrad.{name}")
    assert module is eval(f"mg.{name}")
    with pytest.raises(AttributeError, match=rf"^minigrad\.{name} has no attribute 'Event'"):
        module.Event  # noqa: B018


def test_moves_to_other_devices_are_refused() -> None:
    net, x = nn.Linear(2, 2), mg.ones(2)
    before = net.weight.array.copy()
    calls: list[Any] = [
        x.cuda, net.cuda, lambda: x.to("cuda"), lambda: net.to("cuda:0"),
        lambda: mg.ones(2, device="mps"), lambda: mg.ones(2, device=mg.device("cuda")),
        lambda: x.to(mg.device("cuda", 1)), lambda: net.to(mg.device("mps")),
    ]  # fmt: skip
    for call in calls:
        with pytest.raises(RuntimeError, match="only"):
            call()
    for share in (x.share_memory_, net.share_memory):
        with pytest.raises(RuntimeError, match=r"^share_memory_?: tensors are not shared between"):
            share()
    np.testing.assert_array_equal(net.weight.array, before)


@pytest.mark.parametrize("args", [
    ("cpu",), ("cpu:0",), ("cuda",), ("cuda:1",), ("cuda", 1), ("mps",), ("meta",),
])  # fmt: skip
def test_devices_that_are_not_there_have_names(args: tuple[Any, ...]) -> None:
    torch = pytest.importorskip("torch")
    ours, theirs = mg.device(*args), torch.device(*args)
    assert (ours.type, ours.index) == (theirs.type, theirs.index)
    assert str(ours) == str(theirs) and repr(ours) == repr(theirs)
    assert ours == mg.device(str(ours)) == mg.device(ours) and hash(ours) == hash(mg.device(ours))
    assert (ours == mg.device("cuda", 1)) == (theirs == torch.device("cuda", 1))


@pytest.mark.parametrize("args", [("gpu",), ("cuda:x",), ("cuda:1", 1), ("",), ("cuda:-1",), (1,)])
def test_what_is_no_name_of_a_device(args: tuple[Any, ...]) -> None:
    with pytest.raises(RuntimeError, match=r"^device: expected one of cpu, cuda"):
        mg.device(*args)


def test_data_parallel() -> None:
    net = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    parallel = nn.DataParallel(net, device_ids=[0, 1])
    x = mg.randn(4, 3)
    np.testing.assert_array_equal(parallel.eval()(x).array, net(x).array)
    assert parallel.module is net and not net.training
    for inputs in (x, (x,)):
        assert mg.equal(nn.parallel.data_parallel(net, inputs, device_ids=[0]), net(x))
    assert list(parallel.state_dict()) == [f"module.{key}" for key in net.state_dict()]
    with pytest.raises(TypeError, match=r"^DataParallel: expected a Module, got the class Linear"):
        nn.DataParallel(nn.Linear)  # type: ignore[arg-type]


def test_data_parallel_loads_pytorchs_state() -> None:
    torch = pytest.importorskip("torch")
    theirs = torch.nn.DataParallel(torch.nn.Linear(3, 2))
    ours = nn.DataParallel(nn.Linear(3, 2))
    ours.load_state_dict(theirs.state_dict())
    x = np.ones((1, 3), np.float32)
    found = ours(mg.from_numpy(x))
    # three products of numbers below 1, in float32
    np.testing.assert_allclose(found.array, theirs(torch.from_numpy(x)).detach(), atol=1e-6)
    theirs.load_state_dict({k: torch.from_numpy(v.array) for k, v in ours.state_dict().items()})


# ---------------------------------------------------------------------------- missing names

MODULES = [mg, nn, nn.functional, nn.utils, nn.init, mg.optim, mg.optim.lr_scheduler, mg.data]


@pytest.mark.parametrize("name", INSTEAD)
def test_what_to_write_instead(name: str) -> None:
    for module in MODULES:
        if (module, name) == (nn, "utils"):
            continue
        with pytest.raises(AttributeError) as caught:
            getattr(module, name)
        expected = f"module {module.__name__!r} has no attribute {name!r}: {INSTEAD[name]}"
        assert str(caught.value) == expected


def test_processes_are_refused_where_they_are_started() -> None:
    import multiprocessing

    torch = pytest.importorskip("torch")
    for m in (mg, torch):
        mp = importlib.import_module(f"{m.__name__}.multiprocessing")
        assert mp is m.multiprocessing and mp.cpu_count() == multiprocessing.cpu_count()
        assert mp.get_start_method(allow_none=True) == multiprocessing.get_start_method(True)
        assert mp.get_all_sharing_strategies() == {"file_descriptor", "file_system"}
        assert mp.set_sharing_strategy(mp.get_sharing_strategy()) is None
    for name in ("spawn", "Process", "Queue", "Pool", "start_processes"):
        assert hasattr(torch.multiprocessing, name)
        with pytest.raises(AttributeError, match=f"{name}.*not shared between processes: use thr"):
            getattr(mg.multiprocessing, name)
    with pytest.raises(ValueError, match="expected 'file_descriptor' or 'file_system', got 'x'"):
        mg.multiprocessing.set_sharing_strategy("x")


def test_answers_of_memory() -> None:
    torch = pytest.importorskip("torch")
    for m in (mg, torch):
        x = m.ones(2)
        assert (x.get_device(), x.is_pinned(), x.is_shared()) == (-1, False, False)


def test_the_names_are_pytorchs() -> None:
    torch = pytest.importorskip("torch")
    owners = [torch, torch.nn, torch.nn.functional, torch.optim, torch.optim.lr_scheduler,
              torch.amp, torch.linalg]  # fmt: skip
    assert len(INSTEAD) > 15
    assert [n for n in INSTEAD if not any(hasattr(owner, n) for owner in owners)] == []


def test_a_near_name_is_suggested_still() -> None:
    with pytest.raises(AttributeError, match=r"no attribute 'Conv2D': did you mean 'Conv2d'\?"):
        nn.Conv2D  # type: ignore[attr-defined]  # noqa: B018
