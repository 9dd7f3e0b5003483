"""PyTorch's own samples: the operators, modules and optimisers that its test suite goes through,
with their sample inputs and error inputs, given to both libraries."""

from __future__ import annotations

import copy
import sys
import types
import unittest
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import minigrad
from minigrad import Tensor
from minigrad.closures import arrays_in
from minigrad.nn import functional as F

torch = pytest.importorskip("torch")
if "expecttest" not in sys.modules:  # PyTorch's samples import it, only its own tests need it
    sys.modules["expecttest"] = types.ModuleType("expecttest")
    sys.modules["expecttest"].TestCase = unittest.TestCase  # type: ignore[attr-defined]
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    methods = pytest.importorskip("torch.testing._internal.common_methods_invocations")
    modules = pytest.importorskip("torch.testing._internal.common_modules")
    optimizers = pytest.importorskip("torch.testing._internal.common_optimizers")

pytestmark = [
    pytest.mark.filterwarnings("ignore"),  # PyTorch has advice for many of its samples
    pytest.mark.slow,
]
REFUSALS = (ValueError, TypeError, IndexError, RuntimeError)

# Names that draw random numbers of their own or leave memory as it is, and properties.
APART = (
    "bernoulli", "multinomial", "normal", "rand_like", "randint", "randint_like", "randn",
    "randn_like", "empty", "empty_like", "new_empty", "zero_", "T", "mT", "H", "mH",
    "nn.functional.dropout", "nn.functional.dropout2d", "nn.functional.dropout3d",
    "nn.functional.gumbel_softmax", "nn.functional.rrelu", "nn.functional.alpha_dropout",
    "nn.functional.feature_alpha_dropout", "poisson", "bfloat16",  # which numpy has not
)  # fmt: skip
# PyTorch's table wraps these to take the tensor first; here they are taken as they are written.
WRAPPED = {
    "einsum": lambda tensors, equation: minigrad.einsum(equation, *tensors),
    "where": lambda x, condition, y: minigrad.where(condition, x, y),
    "nn.functional.embedding_bag": lambda w, x, **options: F.embedding_bag(x, w, **options),
    "polygamma": lambda x, n: minigrad.polygamma(n, x),
    "special.polygamma": lambda x, n: minigrad.special.polygamma(n, x),
    "nn.functional.embedding": lambda weight, x, **options: F.embedding(x, weight, **options),
}
AT_MOST = 12  # samples of one operator or module in one dtype, spread over all of them


class Unknown(Exception):
    """A sample asks for something that does not exist here, such as a memory format."""


class Translation:
    """PyTorch's values as ours; tensors share their memory, and one tensor stays one tensor."""

    def __init__(self) -> None:
        self.known: dict[int, tuple[Any, Tensor]] = {}

    def __call__(self, value: Any) -> Any:
        if isinstance(value, torch.Tensor):
            if id(value) not in self.known:
                ours = minigrad.from_numpy(value.detach().numpy())
                ours.requires_grad = value.requires_grad
                self.known[id(value)] = value, ours
            return self.known[id(value)][1]
        if isinstance(value, torch.dtype):
            return np.dtype(str(value).removeprefix("torch."))
        if isinstance(value, torch.memory_format | torch.layout):
            raise Unknown(value)
        if isinstance(value, list | tuple):
            return list(map(self, value)) if isinstance(value, list) else tuple(map(self, value))
        if isinstance(value, slice):
            return slice(self(value.start), self(value.stop), self(value.step))
        if isinstance(value, dict):
            if value.get("dropout_p"):
                raise Unknown("PyTorch's random numbers")
            return {key: self(item) for key, item in value.items()}
        if isinstance(value, torch.nn.Module):
            raise Unknown("a layer of PyTorch's")
        return getattr(F, value.__name__) if callable(value) else value

    def leaves(self) -> tuple[list[Any], list[Tensor]]:
        pairs = [(t, x) for t, x in self.known.values() if t.requires_grad]
        return [t for t, _ in pairs], [x for _, x in pairs]


def is_random(op: Any, sample: Any) -> bool:
    """Whether dropout_p, the tenth of the arguments behind the input, draws numbers."""
    return (
        op.name.endswith("multi_head_attention_forward")
        and sample.args[9] > 0
        and sample.kwargs.get("training", True)
    )


def as_leaves(value: Any, known: dict[int, Any]) -> Any:
    """The same values with leaves for tensors: samples are often views of larger ones."""
    if isinstance(value, torch.Tensor):
        if id(value) not in known:
            known[id(value)] = value, value.detach().requires_grad_(value.requires_grad)
        return known[id(value)][1]
    if type(value) in (list, tuple):
        return type(value)(as_leaves(item, known) for item in value)
    if isinstance(value, dict):
        return {key: as_leaves(item, known) for key, item in value.items()}
    return value


def array(x: Any) -> Any:
    return x.numpy(force=True) if isinstance(x, torch.Tensor) else x.array


def flat(result: Any) -> list[Any]:
    if isinstance(result, list | tuple):
        return [item for part in result for item in flat(part)]
    return [result]


def agree(ours: Any, theirs: Any, what: str) -> None:
    if not isinstance(theirs, torch.Tensor):
        assert ours == theirs, what
        return
    assert ours.requires_grad == theirs.requires_grad, what
    a, b = array(ours), array(theirs)
    assert a.shape == b.shape, what
    assert a.dtype == b.dtype, what
    # atol: a sum has errors of the size of its largest term
    scale = float(np.abs(b[np.isfinite(b)]).max(initial=1)) if b.dtype.kind == "f" else 0
    rtol, atol = (1e-10, 1e-12 * scale) if b.dtype.itemsize == 8 else (1e-4, 1e-5 * scale)
    np.testing.assert_allclose(a, b, rtol if scale else 0, atol, err_msg=what)


def agree_with_gradients(
    ours: Any, theirs: Any, our_leaves: list[Any], their_leaves: list[Any], what: str
) -> None:
    ours, theirs = flat(ours), flat(theirs)
    assert len(ours) == len(theirs), what
    for i, (y, t) in enumerate(zip(ours, theirs, strict=True)):
        agree(y, t, f"{what}: output {i}")
    pairs = [(y, t) for y, t in zip(ours, theirs, strict=True)
             if isinstance(t, torch.Tensor) and t.requires_grad]  # fmt: skip
    if not pairs or not their_leaves:
        return
    for y, _ in pairs:
        list(arrays_in(y.node.vjp))  # what the version check walks over
    rng = np.random.default_rng(0)
    cotangents = [np.asarray(rng.standard_normal(y.shape)).astype(array(y).dtype) for y, _ in pairs]
    try:
        expected = torch.autograd.grad(
            [t for _, t in pairs], their_leaves, list(map(torch.from_numpy, cotangents)),
            allow_unused=True,
        )  # fmt: skip
    except RuntimeError:  # PyTorch has no derivative for it
        return
    found = minigrad.autograd.grad(
        [y for y, _ in pairs], our_leaves, list(map(minigrad.from_numpy, cotangents)),
        allow_unused=True,
    )  # fmt: skip
    for i, (g, t) in enumerate(zip(found, expected, strict=True)):
        assert (g is None) == (t is None), f"{what}: gradient {i}"
        if t is not None:
            agree(g, t, f"{what}: gradient {i}")


def shown(value: Any) -> str:
    if isinstance(value, torch.Tensor):
        return f"tensor{tuple(value.shape)}"
    if isinstance(value, list | tuple):
        return f"({', '.join(map(shown, value))})"
    return str(value)


# Dtypes at the front, conversions as methods.
CONVERSIONS = ("double", "float", "half", "long", "int", "short", "bool")


def function_of(op: Any) -> Any:
    """What we have under the operator's name, or None."""
    if op.name in WRAPPED:
        return WRAPPED[op.name]
    place, _, name = op.name.rpartition(".")
    if place:
        places = {"nn.functional": F, "linalg": minigrad.linalg, "special": minigrad.special}
        owner = places.get(place)
        return getattr(owner, name, None) if name in getattr(owner, "__all__", ()) else None
    front = name in minigrad.__all__ and name not in CONVERSIONS
    return getattr(minigrad if front else Tensor, name, None)


OPS = [op for op in methods.op_db if op.name not in APART and function_of(op) is not None]


def faces(op: Any) -> Iterator[tuple[str, Any, Any]]:
    """The function, the method, the operator and the in-place forms, of both libraries."""
    yield "function", op.op, function_of(op)
    method = getattr(op.method_variant, "__name__", "<lambda>")
    if method != "<lambda>" and method in dir(Tensor):
        yield "method", op.method_variant, getattr(Tensor, method)
    if op.operator_variant is not None:
        yield "operator", op.operator_variant, op.operator_variant
    for form in (op.inplace_variant, op.inplace_operator_variant):
        name = getattr(form, "__name__", "<lambda>")
        if name in dir(Tensor) or (form is not None and name.startswith("i")):
            ours = getattr(Tensor, name, form)
            yield (name, lambda x, *a, f=form, **k: f(x.clone(), *a, **k),
                   lambda x, *a, f=ours, **k: f(x.clone(), *a, **k))  # fmt: skip


# What differs, and why.
EXEMPT = {
    "nn.functional.hardsigmoid": "PyTorch's 1/6 is a float32 number in float64, too",
    "norm.nuc": "matrix_norm has it",
    "logcumsumexp": "at 10⁴ PyTorch's float32 gradients have three digits; see test_more_functions",
    "digamma": "PyTorch's derivative has nine digits; see test_special",
    "linalg.eigh": "the signs of the vectors, which no result should depend on, differ",
    "linalg.slogdet": "the sign, which has no gradient, does not require one",
    "linalg.pinv.hermitian": "PyTorch's table makes the matrix symmetric first",
    "linalg.pinv.singular": "PyTorch's table takes two factors",
    "linalg.svd": "full_matrices=True: PyTorch gives columns that are not determined a gradient",
    "svd": "as linalg.svd",
    "linalg.lstsq": "what is empty requires no gradient here; see test_linalg",
    "linalg.lstsq.grad_oriented": "PyTorch's table takes the solution alone; as above",
    "nextafter": "PyTorch's requires grad, and has no backward",
    "nn.functional.ctc_loss": "PyTorch's gradient takes a log_softmax in front for granted",
    "cholesky_solve": "PyTorch gives the triangle that is not read a gradient",
    "as_strided.partial_views": "a part of numpy's array knows no memory beyond itself",
    "nn.functional.batch_norm": "has tests of its own: an empty batch moves no statistics",
    "nn.functional.batch_norm.without_cudnn": "as above",
}


@pytest.mark.parametrize("op", OPS, ids=lambda op: op.full_name)
def test_operator(op: Any) -> None:
    if op.full_name in EXEMPT:
        pytest.skip(EXEMPT[op.full_name])
    for dtype in (torch.float64, torch.float32):
        if not op.supports_dtype(dtype, "cpu"):
            continue
        torch.manual_seed(0)
        # not op.sample_inputs, which records the stack of every sample, far slower than the tests
        samples = list(op.sample_inputs_func(op, "cpu", dtype, op.supports_autograd))
        samples = [sample for sample in samples if not is_random(op, sample)]
        for sample in samples[:: 1 + len(samples) // AT_MOST]:
            given = as_leaves((sample.input, sample.args, sample.kwargs), {})
            for form, theirs, ours in faces(op) if dtype == torch.float64 else [next(faces(op))]:
                translate = Translation()
                try:
                    x, args, options = translate(given)
                except Unknown:
                    continue
                what = f"{form}{shown(given[0])} {shown(given[1])} {given[2]} {dtype}"
                try:
                    expected = theirs(given[0], *given[1], **given[2])
                except Exception:  # an in-place form of a sample that broadcasts
                    with pytest.raises(REFUSALS):
                        ours(x, *args, **options)
                    continue
                found = ours(x, *args, **options)
                if form == "function" or op.supports_autograd:
                    their_leaves, our_leaves = translate.leaves()
                    agree_with_gradients(found, expected, our_leaves, their_leaves, what)


# Error inputs that are no errors here.
# complex numbers carry derivatives
COMPLEX_BIAS = tuple(f"nn.functional.conv{n}d" for n in (1, 2, 3))


# out= may share memory with an input, as it is written when all is computed, and be of any dtype
# that the result can be cast to.
LAXER_OUT = ("single memory location", "unsupported operation", "have dtype")

# A reflected operator is reached through Python, which knows both sides.
WITH_ERRORS = [op for op in OPS if op.error_inputs_func is not None
               and op.full_name not in EXEMPT and not op.name.startswith("__r")]  # fmt: skip


@pytest.mark.parametrize("op", WITH_ERRORS, ids=lambda op: op.full_name)
def test_refusals_of_operator(op: Any) -> None:
    """What PyTorch refuses is refused, by an error that names the operator."""
    for error in op.error_inputs_func(op, "cpu"):
        sample = error.sample_input
        try:
            op.op(sample.input, *sample.args, **sample.kwargs)
        except Exception:
            pass
        else:  # PyTorch takes some of them
            continue
        if op.name in COMPLEX_BIAS and "complex" in str(sample.args):
            continue
        try:
            x, args, options = Translation()((sample.input, sample.args, sample.kwargs))
        except (Unknown, TypeError, ValueError):  # a dtype or a number of axes beyond numpy's
            continue
        if "out" in options and any(word in error.error_regex for word in LAXER_OUT):
            continue
        with pytest.raises(REFUSALS, match=op.name.rpartition(".")[2].strip("_")):
            function_of(op)(x, *args, **options)


MODULES = [m for m in modules.module_db
           if m.module_cls.__module__.startswith("torch.nn.modules")
           and hasattr(minigrad.nn, m.module_cls.__name__)
           and not m.module_cls.__name__.startswith("Lazy")
           and m.module_cls is not torch.nn.CTCLoss]  # for the reason in EXEMPT # fmt: skip


@pytest.mark.parametrize("info", MODULES, ids=lambda info: info.module_cls.__name__)
@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
def test_module(info: Any, training: bool) -> None:
    """Text, state dict, outputs and gradients from PyTorch's weights."""
    name = info.module_cls.__name__
    for dtype in (torch.float64, torch.float32):
        samples = info.module_inputs_func(
            info, device="cpu", dtype=dtype, requires_grad=True, training=training
        )
        for sample in samples[:: 1 + len(samples) // AT_MOST]:
            given = sample.constructor_input
            theirs = info.module_cls(*given.args, **given.kwargs)
            translate = Translation()
            try:
                our_args, our_options = translate((given.args, given.kwargs))
            except Unknown:
                continue
            ours = getattr(minigrad.nn, name)(*our_args, **our_options)
            if "BatchNorm" not in name:  # whose text states the rule of the running statistics
                assert repr(ours) == repr(theirs).replace("NonDynamicallyQuantizable", "")
            theirs.to(dtype).train(training)
            ours.to(translate(dtype)).train(training)
            state = {k: v.numpy().copy() for k, v in theirs.state_dict().items()}
            shapes = [(k, v.shape, v.dtype) for k, v in state.items()]
            assert [(k, v.shape, v.dtype) for k, v in ours.state_dict().items()] == shapes
            ours.load_state_dict(state)
            inputs = sample.forward_input
            if inputs is None or (name.startswith("Dropout") and training):
                continue
            args, options = as_leaves((tuple(inputs.args), inputs.kwargs), {})
            if training and "BatchNorm" in name and not args[0].numel():
                continue  # an empty batch moves no statistics here
            expected = theirs(*args, **options)
            our_args, our_options = translate((args, options))
            found = ours(*our_args, **our_options)
            their_leaves, our_leaves = translate.leaves()
            agree_with_gradients(
                found, expected, our_leaves + list(ours.parameters()),
                their_leaves + list(theirs.parameters()), f"{ours} {shown(args)}",
            )  # fmt: skip
            for key, value in theirs.state_dict().items():
                agree(ours.state_dict()[key], value, f"{ours} {key}")


OPTIMIZERS = {
    info.optim_cls.__name__: info for info in optimizers.optim_db
    if info.optim_cls.__name__ in ("SGD", "Adam", "AdamW")
}  # fmt: skip
# How a step is computed, not what: there is one way here.
MEANS = ("foreach", "fused", "capturable", "differentiable")


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizer(name: str) -> None:
    """A hundred steps with groups, missing gradients and a reload half-way."""
    for sample in OPTIMIZERS[name].optim_inputs_func(device="cpu"):
        options = {k: v for k, v in sample.kwargs.items() if k not in MEANS}
        for kind in (np.float64, np.float32):
            found, expected = (
                hundred_steps(m, name, Translation()(options) if m is minigrad else options, kind)
                for m in (minigrad, torch)
            )
            rtol = 1e-10 if kind is np.float64 else 1e-4
            for a, b in zip(found, expected, strict=True):
                assert a.dtype == b.dtype
                np.testing.assert_allclose(a, b, rtol, rtol * 0.01, err_msg=str(options))


def hundred_steps(m: Any, name: str, options: dict[str, Any], kind: Any) -> list[Any]:
    rng = np.random.default_rng(0)
    start = [rng.standard_normal(s).astype(kind) for s in ((5, 3), (3,), (2, 1, 4), (0,))]
    params = [m.from_numpy(a.copy()).requires_grad_() for a in start]
    params.append(m.from_numpy(np.array(0.5, kind)).requires_grad_())

    def make() -> Any:
        own = {"params": params[2:], "lr": 0.003, "weight_decay": 0.02}
        return getattr(m.optim, name)([{"params": params[:2]}, own], **copy.deepcopy(options))

    optimizer = make()
    for step in range(100):
        for i, p in enumerate(params):
            g = np.asarray(rng.standard_normal(tuple(p.shape))).astype(kind)
            p.grad = None if step % 7 == 3 and i == 1 else m.from_numpy(g)
        optimizer.step()
        if step == 50:
            state = copy.deepcopy(optimizer.state_dict())
            optimizer = make()
            optimizer.load_state_dict(state)
    return [array(p) for p in params]


SCHEDULES: dict[str, Callable[[Any, Any], Any]] = {
    "StepLR": lambda s, o: s.StepLR(o, 7, 0.5),
    "MultiStepLR": lambda s, o: s.MultiStepLR(o, [3, 3, 10, 60], gamma=0.3),
    "ExponentialLR": lambda s, o: s.ExponentialLR(o, 0.93),
    "CosineAnnealingLR": lambda s, o: s.CosineAnnealingLR(o, 20, 0.001),
    "CosineAnnealingLR-1": lambda s, o: s.CosineAnnealingLR(o, T_max=1),
    "LinearLR": lambda s, o: s.LinearLR(o, start_factor=0.01, end_factor=0.5, total_iters=70),
    "ConstantLR": lambda s, o: s.ConstantLR(o, 0.2, 9),
    "LambdaLR": lambda s, o: s.LambdaLR(o, [lambda e: 1 / (1 + e), lambda e: 0.9**e]),
    "SequentialLR": lambda s, o: s.SequentialLR(
        o, [s.LinearLR(o, 0.1, total_iters=5), s.CosineAnnealingLR(o, 40), s.StepLR(o, 10)], [5, 60]
    ),
    "ReduceLROnPlateau": lambda s, o: s.ReduceLROnPlateau(o, patience=2, factor=0.5),
    "ReduceLROnPlateau-max": lambda s, o: s.ReduceLROnPlateau(
        o, "max", 0.3, 1, 1e-2, "abs", 2, [0.01, 0.02], 1e-6
    ),
}


@pytest.mark.parametrize("name", SCHEDULES)
def test_schedule(name: str) -> None:
    """The rates of a hundred epochs, with a reload half-way."""
    found, expected = (hundred_epochs(m, SCHEDULES[name]) for m in (minigrad, torch))
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def hundred_epochs(m: Any, schedule: Callable[[Any, Any], Any]) -> Any:
    params = [m.from_numpy(np.ones(n)).requires_grad_() for n in (2, 1)]

    def make() -> tuple[Any, Any]:
        optimizer = m.optim.SGD([{"params": params[:1]}, {"params": params[1:], "lr": 0.3}], lr=0.1)
        return optimizer, schedule(m.optim.lr_scheduler, optimizer)

    optimizer, scheduler = make()
    rates = []
    for epoch in range(100):
        rates.append([group["lr"] for group in optimizer.param_groups])
        optimizer.step()
        if epoch == 50:
            states = copy.deepcopy((optimizer.state_dict(), scheduler.state_dict()))
            optimizer, scheduler = make()
            optimizer.load_state_dict(states[0])
            scheduler.load_state_dict(states[1])
            optimizer.step()
        losses = [1.0, 0.9, 0.9, 0.95, 0.8, 0.8, 0.8, 0.8]
        plateau = type(scheduler).__name__ == "ReduceLROnPlateau"
        scheduler.step(*([losses[epoch % 8] - 0.001 * epoch] if plateau else []))
    return rates
