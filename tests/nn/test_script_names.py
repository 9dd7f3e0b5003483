"""Names that other people's training scripts type: what they do, and that PyTorch does the same."""

from __future__ import annotations

import copy
import gc
import weakref
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn
from minigrad.incoming import Size


def libraries() -> Any:
    torch = pytest.importorskip("torch")
    return torch, mg


def test_a_shape_is_sizes_where_a_tuple_is_numbers() -> None:
    x = mg.ones(2, 3)
    for shape in (x.shape, x.size(), mg.Size([2, 3])):
        assert type(shape) is Size
        assert (shape, shape.numel(), repr(shape)) == ((2, 3), 6, "(2, 3)")
        assert mg.FloatTensor(shape).shape == (2, 3)
        assert mg.Tensor(shape).shape == (2, 3)
        assert x.new(shape).shape == (2, 3)
        assert mg.tensor(shape).tolist() == [2, 3]
        assert mg.LongTensor([shape]).tolist() == [[2, 3]]
    assert mg.Tensor((2, 3)).tolist() == [2.0, 3.0]
    assert mg.Tensor(mg.tensor(1.0).shape).shape == ()
    assert mg.Tensor(2, device="cpu").shape == mg.LongTensor(2, device="cpu").shape == (2,)
    with pytest.raises(RuntimeError, match="device"):
        mg.FloatTensor(2, device="cuda")


# One-element tensors in lists are numbers, unless a list stands first there.
LISTS = [
    lambda m: m.tensor([m.ones(1), m.ones(1)]),
    lambda m: m.tensor([m.ones(1, 1), m.ones(1)]),
    lambda m: m.tensor([[m.ones(1), m.tensor(2.0)], [3.0, m.ones(1)]]),
    lambda m: m.tensor([2, m.ones(1)]),
    lambda m: m.tensor([m.ones(1)]),
    lambda m: m.tensor([[1.0], m.ones(1)]),
    lambda m: m.FloatTensor([m.ones(1), m.ones(1)]),
    lambda m: m.as_tensor((m.tensor([1]), m.tensor([2]))),
]


@pytest.mark.parametrize("i", range(len(LISTS)))
def test_lists_of_tensors_of_one_element(i: int) -> None:
    expected, found = (LISTS[i](m) for m in libraries())
    assert found.shape == tuple(expected.shape)
    np.testing.assert_array_equal(found.numpy(), expected.numpy())


def test_old_scripts_say_volatile() -> None:
    x = mg.ones(2)
    with pytest.warns(UserWarning, match="no_grad"):
        y = mg.autograd.Variable(x, volatile=True)
    assert y.tolist() == [1.0, 1.0] and not y.requires_grad


def test_clipping_takes_foreach() -> None:
    w = mg.ones(4, requires_grad=True)
    (3 * w).sum().backward()
    assert nn.utils.clip_grad_norm_([w], 1.0, foreach=True).item() == 6.0
    nn.utils.clip_grad_value_([w], 0.25, foreach=False)
    assert w.grad is not None and w.grad.tolist() == [0.25] * 4


# Hooks after accumulation.


def test_a_step_may_stand_in_the_backward() -> None:
    found = []
    for m in libraries():
        w, v = (m.nn.Parameter(m.tensor([1.0, 2.0])) for _ in range(2))
        steps = m.optim.SGD([w], lr=0.1)

        def step(p: Any, steps: Any = steps) -> None:
            steps.step()
            steps.zero_grad()

        handle = w.register_post_accumulate_grad_hook(step)
        for _ in range(2):
            (w * w + v).sum().backward()
        handle.remove()
        (w * w).sum().backward()
        found.append([w.tolist(), w.grad.tolist(), v.grad.tolist()])
    np.testing.assert_allclose(found[0], found[1], rtol=1e-6)


def test_the_hook_sees_all_gradients_and_keeps_no_tensor() -> None:
    w, v = (mg.ones(2, requires_grad=True) for _ in range(2))
    seen: list[Any] = []
    w.register_post_accumulate_grad_hook(lambda p: seen.append((p is w, v.grad)))
    (w * v).sum().backward()
    assert seen[0][0] and seen[0][1].tolist() == [1.0, 1.0]
    mg.autograd.grad((w * v).sum(), w)
    assert len(seen) == 1  # nothing was accumulated
    x = mg.ones(2, requires_grad=True)
    x.register_post_accumulate_grad_hook(print)
    gone = weakref.ref(x)
    gc.disable()
    try:
        del x
        assert gone() is None
    finally:
        gc.enable()


@pytest.mark.parametrize("x", [mg.ones(2), mg.ones(2, requires_grad=True) * 2])
def test_only_leaves_have_them(x: mg.Tensor) -> None:
    with pytest.raises(RuntimeError, match="register_hook"):
        x.register_post_accumulate_grad_hook(print)


# Modules.


class Scaled(nn.Module):
    a: mg.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Buffer(mg.ones(2))
        self.b = nn.Buffer([1.0], persistent=False)


def test_a_buffer_registers_itself() -> None:
    model = Scaled()
    for m in (model, copy.deepcopy(model)):
        assert [name for name, _ in m.named_buffers()] == ["a", "b"]
        assert list(m.state_dict()) == ["a"]
        assert not list(m.parameters())
    model.a = mg.zeros(2)  # an ordinary tensor takes its place
    assert model.state_dict()["a"].tolist() == [0.0, 0.0]
    copied = copy.deepcopy(nn.Buffer([1.0]))
    model.c = copied
    assert list(model.state_dict()) == ["a", "c"]


def test_skip_init() -> None:
    model = nn.utils.skip_init(nn.Linear, 2, 3, bias=False)
    assert isinstance(model, nn.Linear) and model.weight.shape == (3, 2)
    with pytest.raises(RuntimeError, match="skip_init"):
        nn.utils.skip_init(mg.ones)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["LPPool1d", "LPPool2d", "LPPool3d"])
def test_power_pooling_layers(name: str) -> None:
    data = np.abs(np.random.default_rng(0).normal(size=(2, 2, 6, 6, 6)[: 2 + int(name[-2])]))
    found = []
    for m in libraries():
        layer = getattr(m.nn, name)(3, 2, stride=1, ceil_mode=True)
        found.append((layer(m.from_numpy(data)).numpy(), str(layer)))
    np.testing.assert_allclose(found[0][0], found[1][0], rtol=1e-12)
    assert found[0][1] == found[1][1]
    with pytest.raises(ValueError, match=name):
        getattr(nn, name)(0, 2)


# Functions.


def test_front_functions_have_their_own_arguments() -> None:
    rng = np.random.default_rng(0)
    data, scale = rng.normal(size=(4, 3, 5)), rng.normal(size=3)
    found = []
    for m in libraries():
        x, w = m.from_numpy(data), m.from_numpy(scale)
        mean, var = m.zeros(3, dtype=m.float64), m.ones(3, dtype=m.float64)
        outs = [
            m.batch_norm(x, w, w, mean, var, True, 0.1, 1e-5, False),
            m.instance_norm(x, w, None, None, None, True, 0.1, 1e-5, False),
            m.embedding(x[0], m.tensor([2, 0]), 0),
            m.kl_div(m.log_softmax(x, -1), m.softmax(w, 0)[:, None].expand(4, 3, 5), 2),
            mean,
            var,
        ]
        found.append([y.numpy() for y in outs])
    for expected, y in zip(*found, strict=True):
        np.testing.assert_allclose(y, expected, rtol=1e-10)
    with pytest.raises(ValueError, match="kl_div"):
        mg.kl_div(mg.ones(2), mg.ones(2), 3)


@pytest.mark.filterwarnings("ignore:torch.lu_solve is deprecated")
def test_factors_of_matrices_beside_pytorch() -> None:
    data = np.random.default_rng(0).normal(size=(2, 3, 4, 4))
    found = []
    for m in libraries():
        a = m.tensor(data, requires_grad=True)
        outs = [*m.linalg.lu(a), *m.lu_unpack(*m.linalg.lu_factor(a))]
        outs.append(m.lu_solve(a, *m.linalg.lu_factor(2 * a)))
        weights = np.random.default_rng(1).normal(size=data.shape)
        sum(((y * m.tensor(weights)).sum() for y in outs[1:]), start=m.tensor(0.0)).backward()
        found.append([y.detach().numpy() for y in outs] + [a.grad.numpy()])
    for expected, y in zip(*found, strict=True):
        np.testing.assert_allclose(y, expected, rtol=1e-8, atol=1e-10)
    LU, pivots = mg.lu(mg.tensor(data))
    assert mg.lu_unpack(LU, pivots, unpack_data=False).L.shape == (0,)
    assert len(mg.lu(mg.tensor(data), get_infos=True)) == 3


@pytest.mark.filterwarnings("ignore:.*torch.jit.script:DeprecationWarning")
def test_jacobians_under_their_older_names() -> None:
    found = []
    for m in libraries():
        from_ = m.autograd.functional
        x, y = (m.tensor(v, dtype=m.float64) for v in ([1.0, 2.0], [3.0, 4.0]))
        square = from_.hessian(lambda a, b: (a**2 * b).sum()[None], (x, y))
        outs = [
            *from_.jacobian(lambda a, b: (a * b, a.sum()), (x, y)),
            from_.jacobian(m.exp, x),
            from_.jacobian(m.exp, x, strategy="forward-mode", vectorize=True),
            from_.hessian(lambda a: (a**3).sum(), x),
            *square,
            from_.jvp(m.exp, x, y),
            from_.jvp(lambda a, b: a * b, (x, y), (y, x)),
            from_.vhp(lambda a: (a**3).sum(), x, y),
        ]
        found.append([v.numpy() for y in outs for v in (y if isinstance(y, tuple) else (y,))])
    assert len(found[0]) == len(found[1])
    for expected, y in zip(*found, strict=True):
        np.testing.assert_allclose(y, expected, rtol=1e-12)
    functional = mg.autograd.functional
    with pytest.raises(NotImplementedError, match="create_graph"):
        functional.jacobian(mg.exp, mg.ones(2), create_graph=True)
    with pytest.raises(NotImplementedError, match="strict"):
        functional.hessian(mg.sum, mg.ones(2), strict=True)
    with pytest.raises(ValueError, match="hessian: outer_jacobian_strategy"):
        functional.hessian(mg.sum, mg.ones(2), outer_jacobian_strategy="backward")
    for name in ("jacobian", "hessian", "jvp"):
        with pytest.raises(TypeError, match=f"{name}: inputs must be a tensor or a tuple of tens"):
            getattr(functional, name)(mg.sum, [mg.ones(2)])


@pytest.mark.parametrize("sizes", [(0, 2, 3), (2, 2, 1)])
@pytest.mark.parametrize("kernels", ["numpy", "numba"])
def test_a_transposed_convolution_without_output(sizes: Any, kernels: Any) -> None:
    """Of no images, or of which nothing is used; one whose padding leaves nothing is refused."""
    found = []
    for m in libraries():
        x, w = m.ones(*sizes, requires_grad=True), m.ones(2, 3, 3, requires_grad=True)
        b = m.ones(3, requires_grad=True)
        with mg.use_kernels(kernels):
            y = m.nn.functional.conv_transpose1d(x, w, b, padding=1 if sizes[0] else 2, stride=2)
            if sizes[0]:
                y = y[..., :0]
            y.sum().backward()
        found.append([y.shape, x.grad.numpy(), w.grad.numpy(), b.grad.numpy()])
    assert tuple(found[0][0]) == found[1][0]
    for expected, g in zip(found[0][1:], found[1][1:], strict=True):
        np.testing.assert_array_equal(g, expected)
    empty = r"conv_transpose1d: the output of size .* would be"
    with mg.use_kernels(kernels), pytest.raises(RuntimeError, match=empty):
        mg.nn.functional.conv_transpose1d(mg.ones(2, 2, 1), mg.ones(2, 3, 1), padding=1,
                                          stride=2, output_padding=1)  # fmt: skip


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: mg.trapezoid(mg.tensor(1.0)), "trapezoid"),
        (lambda: mg.trapezoid(mg.ones(2, 3), mg.ones(2)), "3 samples"),
        (lambda: mg.trapezoid(mg.ones(3), mg.ones(3), dx=1.0), "both"),
        (lambda: mg.renorm(mg.ones(3), 2, 0, 1.0), "two axes"),
        (lambda: mg.renorm(mg.ones(3, 3), 0, 0, 1.0), "above 0"),
        (lambda: mg.ones(3).sum_to_size(2), "sum_to_size"),
        (lambda: mg.polygamma(-1, mg.ones(2)), "polygamma"),
        (lambda: mg.polygamma(200, mg.ones(2)), "165"),
        (lambda: nn.functional.lp_pool2d(mg.ones(1, 4, 4), 0, 2), "norm_type"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(call: Any, said: str) -> None:
    with pytest.raises((TypeError, ValueError, RuntimeError), match=said):
        call()


def test_no_samples_have_no_integral() -> None:
    assert mg.trapezoid(mg.ones(2, 0)).tolist() == [0.0, 0.0]
    assert mg.trapezoid(mg.tensor([[np.inf], [1.0]])).tolist() == [0.0, 0.0]  # NaN in PyTorch
    assert mg.trapezoid(mg.ones(2, 0), mg.ones(0)).tolist() == [0.0, 0.0]
    assert mg.cumulative_trapezoid(mg.ones(2, 0)).shape == (2, 0)


def test_the_first_polygamma_is_the_slope_of_digamma() -> None:
    x = mg.tensor([0.1, 0.5, 1.0, 7.5, 30.0, -0.5, -20.7], dtype=mg.float64, requires_grad=True)
    mg.digamma(x).sum().backward()
    assert x.grad is not None
    np.testing.assert_allclose(mg.polygamma(1, x).detach().numpy(), x.grad.numpy(), rtol=1e-13)
    np.testing.assert_array_equal(mg.polygamma(0, x.detach()).numpy(), mg.digamma(x).detach())


def test_polygamma_below_zero_and_far_out() -> None:
    torch = pytest.importorskip("torch")
    x = np.array([-0.5, -2.3, -20.7, 0.0, -1.0, -1e-30, 1e-30, 1e-3, 1e10, np.nan, -np.inf])
    for n in (2, 3, 5):
        expected = torch.polygamma(n, torch.from_numpy(x)).numpy()
        np.testing.assert_allclose(mg.polygamma(n, mg.tensor(x)).numpy(), expected, rtol=1e-12)
        assert mg.polygamma(n, mg.tensor(np.inf)).item() == 0  # NaN in PyTorch


@pytest.mark.parametrize("recurse", [True, False])
def test_to_empty(recurse: bool) -> None:
    torch = pytest.importorskip("torch")
    found = []
    for m in (mg, torch):
        inner = m.nn.BatchNorm1d(3)
        model = m.nn.Sequential(m.nn.Linear(2, 3), inner)
        model[0].bias.requires_grad_(False)
        model[0].weight.grad = m.ones(3, 2)
        model.register_buffer("own", m.tensor([1, 2]))
        held = dict(model.named_parameters())
        before = {name: x.detach() for name, x in (*held.items(), *model.named_buffers())}
        assert model.to_empty(device="cpu", recurse=recurse) is model
        assert all(p is held[name] for name, p in model.named_parameters())
        now = {name: x.detach() for name, x in (*held.items(), *model.named_buffers())}
        apart = {
            name for name in now if not np.shares_memory(now[name].numpy(), before[name].numpy())
        }
        assert apart == (set(now) if recurse else {"own"})
        for name, x in now.items():
            assert (x.shape, x.dtype) == (before[name].shape, before[name].dtype)
        found.append([(p.requires_grad, p.grad is None) for p in held.values()])
    assert found[0] == found[1]
    with pytest.raises(RuntimeError, match="to_empty: device must be 'cpu'"):
        nn.Linear(1, 1).to_empty(device="meta")
    layer = nn.LazyLinear(2).to_empty(device=None)
    assert layer(mg.ones(1, 3)).shape == (1, 2)


@pytest.mark.parametrize(
    ("name", "shape", "args"),
    [
        ("uniform", (2, 3), (1.0, 2.0)), ("normal", (2, 3), (0.0, 2.0)), ("constant", (2,), (3.0,)),
        ("eye", (2, 3), ()), ("dirac", (2, 3, 3), ()), ("orthogonal", (2, 3), (2.0,)),
        ("xavier_uniform", (2, 3), ()), ("xavier_normal", (2, 3), (2.0,)),
        ("kaiming_uniform", (2, 3), (0, "fan_out")), ("kaiming_normal", (2, 3), (0.1,)),
    ],
)  # fmt: skip
def test_the_old_names_of_initialisation(name: str, shape: Any, args: Any) -> None:
    for m in libraries():
        filled = []
        for end in ("", "_"):
            m.manual_seed(0)
            x = m.empty(*shape)
            fill = getattr(m.nn.init, name + end)
            if end:
                assert fill(x, *args) is x
            else:
                assert fill.__name__ == name and fill.__doc__
                with pytest.warns(FutureWarning, match=f"{name}_") as caught:
                    assert fill(x, *args) is x
                assert len(caught) == 1 and caught[0].filename == __file__
            filled.append(x.numpy())
        np.testing.assert_array_equal(*filled)


def test_the_old_name_of_clipping() -> None:
    found = []
    for m in libraries():
        x = m.tensor([3.0, 4.0], requires_grad=True)
        x.square().sum().backward()
        with pytest.warns(FutureWarning, match="clip_grad_norm_") as caught:
            before = m.nn.utils.clip_grad_norm([x], 1.0, norm_type=2)
        assert caught[0].filename == __file__
        found.append([before.item(), *x.grad.tolist()])
    np.testing.assert_allclose(*found, rtol=1e-6)  # float32
