"""Several processes, started by mpiexec: see ranks.py for what they do."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import minigrad as mg
from minigrad import distributed as dist
from minigrad import nn

HERE = Path(__file__).parent
SLOW = pytest.mark.slow


def run(ranks: int, *works: str) -> subprocess.CompletedProcess[str]:
    pytest.importorskip(
        "mpi4py", reason="mpi4py is not installed; it comes with the extra distributed"
    )
    # mpich puts mpiexec beside the interpreter
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    if shutil.which("mpiexec", path=path) is None:
        pytest.skip("there is no mpiexec; mpich comes with the extra distributed")
    command = ["mpiexec", "-n", str(ranks), sys.executable, str(HERE / "ranks.py"), *works]
    environment = {**os.environ, "PATH": path, "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)


@pytest.mark.parametrize("ranks", [pytest.param(1, marks=SLOW), 2, pytest.param(3, marks=SLOW)])
def test_all_ranks_do_the_same(ranks: int) -> None:
    works = ["collectives", "training", "synchronised", "samplers"]
    if ranks > 1:
        works.append("unused")
    done = run(ranks, *works)  # one after the other: to start Python is most of their time
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("done") == ranks


@pytest.mark.slow
@pytest.mark.parametrize("ranks", [3])  # of three, one has nothing to do with it
@pytest.mark.parametrize(
    ("work", "message"),
    [
        ("another_module", "rank 1 has another module than rank 0: weight float32 (1, 3)"),
        ("another_dtype", "rank 1 has another module than rank 0: weight float64 (1, 2)"),
        ("more_steps", "rank 0: ends; rank 1: backward of 623 gradients"),
        ("fails", "KeyError: 'this one fails'"),
    ],
)
def test_a_rank_that_does_something_else_is_named_and_nobody_waits(
    work: str, message: str, ranks: int
) -> None:
    done = run(ranks, work)
    assert done.returncode != 0
    assert message in done.stderr, done.stderr


def test_without_a_group() -> None:
    assert not dist.is_initialized()
    for call in (dist.get_rank, dist.get_world_size, dist.barrier,
                 lambda: dist.all_reduce(mg.ones(2)),
                 lambda: nn.parallel.DistributedDataParallel(nn.Linear(1, 1)),
                 lambda: mg.data.DistributedSampler(range(3))):  # fmt: skip
        with pytest.raises(ValueError, match="init_process_group"):
            call()
    dist.destroy_process_group()  # nothing to end
    with pytest.raises(ValueError, match="backend"):
        dist.init_process_group("nccl")
    with pytest.raises(TypeError, match="mpiexec starts"):
        dist.init_process_group("nccl", rank=0, world_size=1)
    assert not dist.is_initialized()
    assert list(mg.data.DistributedSampler(range(5), 2, 1, shuffle=False)) == [1, 3, 0]


def test_without_mpi(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mpi4py", None)
    assert not dist.is_available()
    with pytest.raises(ImportError, match="pip install mpi4py mpich"):
        dist.init_process_group()
    assert not dist.is_initialized()


def test_a_synchronised_layer_of_one_process_is_batch_normalisation() -> None:
    x = mg.randn(4, 3, 2)
    one, other = nn.SyncBatchNorm(3), nn.BatchNorm1d(3)
    assert (one(x).array == other(x).array).all()
    net = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3, bias=False), nn.ReLU()).eval()
    old = net[1]
    assert nn.SyncBatchNorm.convert_sync_batchnorm(net) is net
    new = net[1]
    assert type(new) is nn.SyncBatchNorm and new.weight is old.weight and new.bias is None
    assert new.running_mean is old.running_mean and not new.training
    assert list(net.state_dict()) == ["0.weight", "0.bias", "1.weight", "1.running_mean",
                                      "1.running_var", "1.num_batches_tracked"]  # fmt: skip
