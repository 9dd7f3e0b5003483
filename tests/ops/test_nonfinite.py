"""NaN and infinities stay where they are: planted at random places of every op's inputs, and of the
gradients that come in, they come out where they come out of PyTorch."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from cases import SAMPLES, Sample

import minigrad
from minigrad import Tensor

torch = pytest.importorskip("torch")
import test_torch_samples as pytorch  # noqa: E402  (PyTorch's own samples)

pytestmark = [
    pytest.mark.filterwarnings("ignore"),  # PyTorch has advice for many of its samples
    pytest.mark.slow,
]
KINDS = (np.nan, np.inf, -np.inf)
# What LAPACK, and with it PyTorch, makes of an infinity depends on where it stands: it refuses it,
# finds NaN, or never returns. Only NaN is planted.
ONLY_NAN = {"pinverse"}
GRADIENTS: tuple[tuple[float, ...], ...] = ((), (np.nan,), (np.inf, -np.inf))  # what is planted
TOGETHER = tuple(itertools.product(("numpy", "numba"), ("f4", "f8")))

# PyTorch's vector instructions and the loop over the last few elements differ: many copies of the
# input leave none of those.
VECTORS = {"elu", "selu", "celu", "hardtanh", "relu6", "hardswish", "hardsigmoid"}
# A weight that is not finite makes NaN where it meets padding, in the gradients too; see
# kernels/compiled/conv.py.
CONVOLUTIONS = {"conv1d", "conv2d", "conv3d", "conv_transpose2d", "conv_transpose3d"}
# Of elements that tie, as several NaNs do, PyTorch may take another.
TIES = {"sort", "argsort", "topk"}
# inf - inf in one of the two orders of adding, and inf in the other: only which are finite is equal
ORDER = {
    "einsum bi,bj,ij->b": "which two are multiplied first",
    "ldexp": "as addcmul",
    "addcmul": "whether a gradient is summed before it is multiplied",
    "binary_cross_entropy_with_logits": "infinite targets and pos_weight",
    "instance_norm": "PyTorch computes x·scale + shift, with an infinite gamma inf - inf",
    "group_norm": "as instance_norm",
    "interpolate": "whether rounding makes a weight 0, or tiny",
    "layer_norm": "with an infinite gamma the order of three sums",
}
EXEMPT = {
    "batch_norm": "has tests of its own",
    "batch_norm.without_cudnn": "as above",
    "var_mean": "PyTorch's mean is NaN where its own mean() is infinite",
    "std_mean": "as var_mean",
    "conv_transpose1d": "numba: dL/dW is NaN where an infinite input meets padding alone",
    "dropout": "PyTorch draws other numbers",
    "dropout1d": "as above",
    "dropout2d": "as above",
    "hardshrink": "PyTorch's gradient at NaN is 0 in some lanes and not in others",
    "softshrink": "as hardshrink",
    "soft_margin_loss": "e^(-t·x) overflows in PyTorch, and makes its gradient NaN",
    "poisson_nll_loss": "the gradient with respect to a target of 0 is NaN in PyTorch, and 0 here",
    "triplet_margin_with_distance_loss": "the distance is any function, and a margin is checked",
    "dropout3d": "as above",
    "item": "a number, not a tensor",
    "i0": "inf at inf, where PyTorch has NaN",
    "special.log_ndtr": "the derivative at -inf is inf, where PyTorch has NaN",
    "trapz": "as trapezoid",
    "trapezoid": "PyTorch adds the two ends and takes half of them off again: inf becomes NaN",
    "special.polygamma": "as polygamma",
    "polygamma": "0 at inf, where PyTorch has NaN; tests/nn/test_script_names.py",
    "mode": "PyTorch sorts by a comparison that a NaN confuses: its place decides the answer",
    "cdist": "with p = 0 a NaN counts as a difference here, as in norm",
    "linspace.tensor_overload": "the ends are exact here, whatever lies between",
    "logspace.tensor_overload": "as linspace",
    "svd": "as linalg",
    "cholesky_solve": "as linalg",
    "histogram": "edges that are not finite are refused here",
    "bucketize": "edges with a NaN among them are not sorted",
    "searchsorted": "as bucketize",
    "unique": "rows with a NaN: PyTorch does not find equal ones that its sort leaves apart",
    "logit": "the gradient at NaN is 0 where eps is given, as that of clamp",
    "cholesky": "as linalg",
    "qr": "as linalg",
    "lu": "which row becomes the pivot where its column has a NaN is LAPACK's own choice",
    "lu_unpack": "as lu, whose factors the case unpacks",
    "lu_solve": "as cholesky_solve",
    "ctc_loss": "where nothing has a probability, PyTorch's gradient is NaN in some places, and 0",
    "embedding_bag": "the largest of a bag: PyTorch takes a NaN only where it stands in front",
    "grid_sample": "grids and images that are not finite come out otherwise where they are padded",
    "pdist": "with p = 1 the gradient at a NaN is 0, as that of norm; with p = 0 as cdist",
    "logdet": "as linalg",
    "multi_head_attention_forward": "as scaled_dot_product_attention",
    "scaled_dot_product_attention": "PyTorch has two implementations, which differ in this",
}


def planted(a: Any, rng: np.random.Generator, values: tuple[float, ...], most: int = 2) -> Any:
    """A copy with none, one or two of the values at random places."""
    a = np.array(a)
    if a.dtype.kind == "f" and a.size and values:
        for _ in range(rng.integers(most + 1)):
            a.flat[rng.integers(a.size)] = rng.choice(values)
    return a


def same(ours: Any, theirs: Any, exact: bool, what: str) -> None:
    """The same kinds of numbers in the same places (NaN and infinities are one kind unless
    `exact`), and the same finite numbers."""
    assert (ours is None) == (theirs is None), what
    if theirs is None:
        return
    if not isinstance(theirs, torch.Tensor):
        assert ours == theirs, what
        return
    a, b = pytorch.array(ours), pytorch.array(theirs)
    assert a.shape == b.shape and a.dtype == b.dtype, what
    if b.dtype.kind != "f":
        np.testing.assert_array_equal(a, b, err_msg=what)
        return
    if np.array_equal(a, b, equal_nan=True):
        return
    finite = np.isfinite(b)
    np.testing.assert_array_equal(np.isfinite(a), finite, err_msg=f"{what}\n{a}\n{b}")
    if exact:
        np.testing.assert_array_equal(a[~finite], b[~finite], err_msg=f"{what}\n{a}\n{b}")
    # atol: sums have errors of the size of their largest terms, which in a norm's gradient cancel;
    # rtol: PyTorch holds hardswish's 1/6 in float32 even for float64
    scale = float(np.abs(b[finite]).max(initial=1)) * (100 if "norm" in what else 1)
    rtol, atol = (1e-7, 1e-12 * scale) if b.dtype.itemsize == 8 else (1e-4, 1e-5 * scale)
    np.testing.assert_allclose(a[finite], b[finite], rtol, atol, err_msg=what)


def run(m: Any, f: Any, args: Any, options: Any, leaves: list[Any], seed: int) -> list[Any] | None:
    """Outputs and gradients, for random gradients of the outputs; None if it is refused."""
    try:
        ys = pytorch.flat(f(*args, **options))
    except pytorch.REFUSALS:
        return None
    rng, values = np.random.default_rng(seed), GRADIENTS[seed % 3]
    wanted = [y for y in ys if isinstance(y, Tensor | torch.Tensor) and y.requires_grad]
    if not wanted or not leaves:
        return ys
    random = [np.asarray(rng.standard_normal(y.shape), pytorch.array(y).dtype) for y in wanted]
    given = [m.from_numpy(planted(g, rng, values)) for g in random]
    try:
        return ys + list(m.autograd.grad(wanted, leaves, given, allow_unused=True))
    except RuntimeError:
        if m is minigrad:
            raise
        return ys  # PyTorch has no derivative for it


def name_of(name: str) -> str:
    return name.removeprefix("F.").removeprefix("nn.functional.")


def compare(ours: Any, theirs: Any, name: str, seed: int, what: str) -> None:
    assert (ours is None) == (theirs is None), f"one of the two refuses {what}"
    exact = name not in ORDER and np.inf not in GRADIENTS[seed % 3]
    # (zip stops where PyTorch has no derivative)
    for i, (y, t) in enumerate(zip(ours or (), theirs or (), strict=False)):
        same(y, t, exact, f"{what}: {i}")


# The table of cases.

BY_NAME = {name: list(group) for name, group in itertools.groupby(
    sorted(SAMPLES, key=lambda s: s.case.name), key=lambda s: s.case.name)
    if name_of(name) not in EXEMPT}  # fmt: skip


def check_sample(sample: Sample, kernels: str, dtype: str, seed: int) -> None:
    name = name_of(sample.case.name)
    if name == "gelu" and dtype == "f4":
        return  # PyTorch's gelu(inf) is NaN in float32, but inf in float64 and of one number
    arrays = sample.arrays(np.dtype(dtype))
    if name in CONVOLUTIONS:
        seed -= seed % 3  # ordinary gradients
    rng = np.random.default_rng(seed)
    for i in range(1 if name in CONVOLUTIONS else len(arrays)):
        arrays[i] = planted(arrays[i], rng, KINDS, 1 if name in TIES else 2)

    def both(m: Any) -> Any:
        if m is torch and name in VECTORS:
            xs = [m.from_numpy(np.repeat(a[None], 64, 0)).requires_grad_() for a in arrays]
            found = run(m, lambda *xs: sample.run(m, xs)[0], xs, {}, xs, seed)
            return None if found is None else [found[0], *(g[0] for g in found[1:])]
        xs = [m.from_numpy(a.copy()).requires_grad_() for a in arrays]
        return run(m, sample.run, (m, xs), {}, xs, seed)

    with minigrad.use_kernels(kernels):
        compare(both(minigrad), both(torch), name, seed, f"{sample} {kernels} {dtype} {seed}")


@pytest.mark.parametrize("name", BY_NAME)
def test_cases(name: str) -> None:
    for i, sample in enumerate(BY_NAME[name]):
        check_sample(sample, *TOGETHER[i % 4], i % 5)


@pytest.mark.fuzz
@pytest.mark.parametrize("name", BY_NAME)
def test_many_cases(name: str) -> None:
    for sample, (kernels, dtype) in itertools.product(BY_NAME[name], TOGETHER):
        for seed in range(20, 32):
            check_sample(sample, kernels, dtype, seed)


# PyTorch's own samples.

ELSEWHERE = {*EXEMPT, *VECTORS, *CONVOLUTIONS, "gelu"}
OPS = [op for op in pytorch.OPS
       if name_of(op.name) not in ELSEWHERE and op.full_name not in pytorch.EXEMPT
       and op.full_name not in ELSEWHERE
       and not op.name.startswith("linalg.")]  # what LAPACK makes of NaN is its own  # fmt: skip


def leaves(
    value: Any, rng: np.random.Generator, known: dict[int, Any], most: int, kinds: Any = KINDS
) -> Any:
    """The sample with leaves for tensors, and planted numbers in them."""
    if isinstance(value, torch.Tensor):
        if id(value) not in known:
            a = torch.from_numpy(planted(value.detach().numpy(), rng, kinds, most))
            known[id(value)] = value, a.requires_grad_(value.requires_grad)
        return known[id(value)][1]
    if type(value) in (list, tuple):
        return type(value)(leaves(item, rng, known, most, kinds) for item in value)
    if isinstance(value, dict):
        return {key: leaves(item, rng, known, most, kinds) for key, item in value.items()}
    return value


def check_operator(op: Any, sample: Any, seed: int) -> None:
    name, rng = name_of(op.name), np.random.default_rng(seed)
    x, args, options = leaves(
        (sample.input, sample.args, sample.kwargs), rng, {}, 1 if name in TIES else 2,
        KINDS[:1] if name in ONLY_NAN else KINDS,
    )  # fmt: skip
    theirs: Any = ()  # not known yet
    for kernels in ("numpy", "numba"):
        translate = pytorch.Translation()
        try:
            y, our_args, our_options = translate((x, args, options))
        except pytorch.Unknown:
            return
        their_leaves, our_leaves = translate.leaves()
        if theirs == ():
            theirs = run(torch, op.op, (x, *args), options, their_leaves, seed)
        with minigrad.use_kernels(kernels):
            ours = pytorch.function_of(op)
            found = run(minigrad, ours, (y, *our_args), our_options, our_leaves, seed)
            given = f"{pytorch.shown(x)} {pytorch.shown(args)} {list(options)}"
            compare(found, theirs, name, seed, f"{op.full_name}{given} {kernels} {seed}")


def samples_of(op: Any, most: int) -> Iterator[Any]:
    for dtype in (torch.float64, torch.float32):
        if op.supports_dtype(dtype, "cpu"):
            torch.manual_seed(0)
            samples = list(op.sample_inputs_func(op, "cpu", dtype, op.supports_autograd))
            yield from samples[:: 1 + len(samples) // most]


@pytest.mark.parametrize("op", OPS, ids=lambda op: op.full_name)
def test_operators(op: Any) -> None:
    for i, sample in enumerate(samples_of(op, 12)):
        check_operator(op, sample, i % 5)


@pytest.mark.fuzz
@pytest.mark.parametrize("op", OPS, ids=lambda op: op.full_name)
def test_many_operators(op: Any) -> None:
    for sample in samples_of(op, 30):
        for seed in range(20, 30):
            check_operator(op, sample, seed)
