"""One recurrent layer beside PyTorch's: outputs, all gradients, and both ways of loading."""

from __future__ import annotations

from typing import Any

import numpy as np

import minigrad
from minigrad.nn.utils import rnn


def flat(result: Any) -> list[Any]:
    """The tensors of nested tuples, those of integers left out."""
    if hasattr(result, "shape"):
        return [result] if "float" in str(result.dtype) else []
    return [x for part in result or () for x in flat(part)]


def random(*shape: int) -> Any:
    return np.random.default_rng(sum(shape)).standard_normal(shape)


def compare(torch: Any, theirs: Any, ours: Any, run: Any, *arrays: Any, single: bool) -> None:
    """What `run` makes of a layer and inputs by both libraries, and all gradients of it, for a
    random cotangent of every output."""
    dtype = np.float32 if single else np.float64
    if not single:
        theirs, ours = theirs.double(), ours.double()
    state = {name: t.numpy() for name, t in theirs.state_dict().items()}
    assert [(k, v.shape) for k, v in ours.state_dict().items()] == [
        (k, v.shape) for k, v in state.items()
    ]
    ours.load_state_dict(state)
    back = {name: torch.from_numpy(t.array.copy()) for name, t in ours.state_dict().items()}
    theirs.load_state_dict(back)
    assert repr(ours) == repr(theirs)
    xs = [torch.from_numpy(a.astype(dtype)).requires_grad_() for a in arrays]
    ys = [minigrad.from_numpy(a.astype(dtype)).requires_grad_() for a in arrays]
    wanted = flat(run(theirs, torch.nn.utils.rnn, *xs))
    found = flat(run(ours, rnn, *ys))
    rtol, atol = (1e-4, 1e-5) if single else (1e-10, 1e-13)  # sums of some dozen terms around 1
    rng = np.random.default_rng(3)
    cotangents = [np.asarray(rng.standard_normal(t.shape), dtype) for t in wanted]
    assert len(wanted) == len(found) > 0
    for t, m in zip(wanted, found, strict=True):
        assert m.shape == tuple(t.shape) and m.dtype == dtype
        np.testing.assert_allclose(m.detach().numpy(), t.detach().numpy(), rtol, atol)
    torch.autograd.backward(wanted, [torch.from_numpy(g) for g in cotangents])
    leaves = [*ys, *ours.parameters()]
    grads = minigrad.autograd.grad(found, leaves, [minigrad.from_numpy(g) for g in cotangents])
    for t, g in zip([*xs, *theirs.parameters()], grads, strict=True):
        np.testing.assert_allclose(g.array, t.grad.numpy(), rtol, 10 * atol)
