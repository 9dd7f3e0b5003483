"""What each rank does in the tests of several processes: mpiexec -n 2 python ranks.py WORK ...

Every work computes the same with all ranks and, beside it, with one process, and compares.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

import minigrad as mg
from minigrad import distributed as dist
from minigrad import nn
from minigrad.nn import functional as F
from minigrad.nn.parallel import DistributedDataParallel

F8 = mg.float64


def network(norm: bool, seed: int = 0) -> nn.Sequential:
    mg.manual_seed(seed)
    layers: list[nn.Module] = [
        nn.Conv2d(2, 4, 3, padding=1, dtype=F8), nn.Flatten(), nn.Linear(64, 8, dtype=F8),
        nn.ReLU(), nn.Linear(8, 3, dtype=F8),
    ]  # fmt: skip
    if norm:
        layers.insert(1, nn.BatchNorm2d(4, dtype=F8))
    return nn.Sequential(*layers)


def batches(steps: int, n: int) -> list[Any]:
    rng = np.random.default_rng(1)
    return [(rng.standard_normal((n, 2, 4, 4)) + 3, rng.integers(0, 3, n)) for _ in range(steps)]


def part(a: Any, rank: int, size: int) -> Any:
    return mg.from_numpy(np.ascontiguousarray(np.array_split(a, size)[rank]))


def trained(model: nn.Module, data: list[Any], of_rank: bool) -> list[Any]:
    rank, size = (dist.get_rank(), dist.get_world_size()) if of_rank else (0, 1)
    optimizer = mg.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    for x, t in data:
        loss = F.cross_entropy(model(part(x, rank, size)), part(t, rank, size))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return [v.detach().numpy() for v in model.state_dict().values()]


def same(found: list[Any], expected: list[Any], rtol: float = 1e-9) -> None:
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol, 1e-11)


def training() -> None:
    """Weights equal to one process's on all batches, in buckets small and large."""
    size = dist.get_world_size()
    data = batches(6, 4 * size)
    for cap in (25, 1e-4):
        model = DistributedDataParallel(network(False, seed=dist.get_rank()), bucket_cap_mb=cap)
        same(trained(model, data, True), trained(network(False), data, False))


def synchronised() -> None:
    """Batch normalisation over all ranks, of batches of different sizes."""
    size = dist.get_world_size()
    data = batches(6, 4 * size)
    model = nn.SyncBatchNorm.convert_sync_batchnorm(network(True))
    assert isinstance(model[1], nn.SyncBatchNorm)
    same(trained(DistributedDataParallel(model), data, True), trained(network(True), data, False))

    rng = np.random.default_rng(2)
    for dtype, rtol in ((np.float64, 1e-10), (np.float32, 2e-5)):
        for offset in (0, 1e3):
            whole = (rng.standard_normal((7, 3, 2)) + offset).astype(dtype)
            g = rng.standard_normal(whole.shape).astype(dtype)
            cuts = (
                np.sort(rng.integers(0, 8, size - 1)) if offset else [0] * (size - 1)
            )  # some empty
            own, own_g = (
                np.ascontiguousarray(np.split(a, cuts)[dist.get_rank()]) for a in (whole, g)
            )
            layer, alone = nn.SyncBatchNorm(3, dtype=dtype), nn.BatchNorm1d(3, dtype=dtype)
            for bn in (layer, alone):
                bn.weight.data.copy_(mg.tensor([2.0, -1.0, 0.5], dtype=dtype))
            x, z = mg.from_numpy(own).requires_grad_(), mg.from_numpy(whole).requires_grad_()
            y, expected = layer(x), alone(z)
            y.backward(own_g)
            expected.backward(g)
            ours, theirs = ([v.detach().numpy() for v in pair] for pair in
                            ((y, x.grad), (expected, z.grad)))  # fmt: skip
            for a, b in zip(ours, theirs, strict=True):
                b = np.split(b, cuts)[dist.get_rank()]
                np.testing.assert_allclose(a, b, rtol, 10 * rtol)
            for p, q in zip(layer.parameters(), alone.parameters(), strict=True):
                total = p.grad.clone()
                dist.all_reduce(total)
                np.testing.assert_allclose(total.numpy(), q.grad.numpy(), 10 * rtol, 10 * rtol)
            np.testing.assert_allclose(layer.running_mean.numpy(), alone.running_mean.numpy(), rtol)
            np.testing.assert_allclose(layer.running_var.numpy(), alone.running_var.numpy(), rtol)


def collectives() -> None:
    rank, size = dist.get_rank(), dist.get_world_size()
    for dtype in (mg.float32, mg.float64, mg.int64, mg.int32, mg.uint8):
        x = mg.full((2, 3), rank + 1, dtype=dtype)
        dist.all_reduce(x)
        assert (x == size * (size + 1) // 2).all()
    for op, expected in (("MAX", size), ("MIN", 1), ("AVG", (size + 1) / 2),
                         ("PRODUCT", np.prod(np.arange(1, size + 1)))):  # fmt: skip
        x = mg.full((3,), float(rank + 1))
        dist.all_reduce(x.t(), op)
        assert x.tolist() == [expected] * 3
    flag = mg.tensor([rank == 1, True])
    dist.all_reduce(flag, dist.ReduceOp.MAX)
    assert flag.tolist() == [size > 1, True]
    x = mg.full((2,), float(rank))
    dist.broadcast(x, size - 1)
    assert x.tolist() == [size - 1.0] * 2
    places = [mg.zeros(2) for _ in range(size)]
    dist.all_gather(places, mg.full((2,), float(rank)))
    assert [p[0].item() for p in places] == list(range(size))
    dist.barrier()
    for wrong, kind in ((lambda: dist.broadcast(x, size), ValueError),
                        (lambda: dist.all_reduce(mg.ones(1), "SOME"), ValueError),
                        (lambda: dist.all_reduce(mg.ones(1, dtype=mg.int32), "AVG"), TypeError),
                        (lambda: dist.all_reduce(3.0), TypeError),
                        (lambda: dist.all_reduce(mg.ones(1, requires_grad=True)), RuntimeError),
                        (dist.init_process_group, RuntimeError)):  # fmt: skip
        try:
            wrong()
        except kind:
            continue
        raise AssertionError(wrong)


def unused() -> None:
    """Parameters that some ranks, or all, do not use; and gradients added up without the others."""
    rank, size = dist.get_rank(), dist.get_world_size()

    class Branches(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            mg.manual_seed(0)
            self.parts = nn.ModuleList([nn.Linear(3, 3, dtype=F8) for _ in range(3)])

        def forward(self, x: Any, which: int) -> Any:
            return self.parts[which](x)

    model = DistributedDataParallel(Branches(), find_unused_parameters=True)
    x = mg.ones(2, 3, dtype=F8)
    for _ in range(2):
        model.zero_grad()
        model(x, which=min(rank, 1)).sum().backward()
    first, second, third = (p.weight.grad for p in model.module.parts)
    assert first.tolist() == [[2 / size] * 3] * 3
    np.testing.assert_allclose(second.numpy(), np.full((3, 3), 2 * (size - 1) / size))
    assert third is None

    strict = DistributedDataParallel(Branches())
    strict(x, which=0).sum().backward()
    try:
        strict(x, which=0)
    except RuntimeError as error:
        assert "parts.1.weight" in str(error) and "find_unused_parameters" in str(error)
    else:
        raise AssertionError("not refused")

    model = DistributedDataParallel(nn.Linear(2, 1, bias=False, dtype=F8))
    ones = mg.ones(1, 2, dtype=F8)
    with model.no_sync():
        model(ones * rank).sum().backward()
    assert model.module.weight.grad.tolist() == [[rank, rank]]
    model(ones * rank).sum().backward()
    mean = (size - 1) / 2
    np.testing.assert_allclose(model.module.weight.grad.numpy(), [[rank + mean] * 2])


def samplers() -> None:
    """No sample is lost or given twice, but for the padding."""
    size = dist.get_world_size()
    for n in (0, 1, 7, 12):
        for drop in (False, True):
            sampler = mg.data.DistributedSampler(range(n), drop_last=drop, seed=3)
            orders = []
            for epoch in range(2):
                sampler.set_epoch(epoch)
                own = list(sampler)
                assert len(own) == len(sampler)
                orders.append([i for part in dist.group_of("").comm.allgather(own) for i in part])
            for order in orders:
                counts = np.bincount(order, minlength=n)
                assert (counts <= 1).all() if drop else (counts >= 1).all()
                assert counts.sum() == len(sampler) * size
                assert drop or n < size or counts.max(initial=1) <= 2
            assert n < 7 or orders[0] != orders[1]


def another_module() -> None:
    DistributedDataParallel(nn.Linear(2 + dist.get_rank(), 1))


def another_dtype() -> None:
    DistributedDataParallel(nn.Linear(2, 1, dtype=F8 if dist.get_rank() else mg.float32))


def more_steps() -> None:
    data = batches(3 + dist.get_rank(), 4)
    trained(DistributedDataParallel(network(False)), data, True)


def fails() -> None:
    if dist.get_rank() == 1:
        raise KeyError("this one fails")
    dist.barrier()
    dist.barrier()


if __name__ == "__main__":
    dist.init_process_group()
    for work in sys.argv[1:]:
        globals()[work]()
    dist.destroy_process_group()
    print("done")
