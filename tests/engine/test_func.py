"""minigrad.func's derivatives: gradient penalties as PyTorch trains them, and what is refused."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest

import minigrad
from minigrad import Tensor, func, nn, optim
from minigrad.nn import functional as F
from minigrad.ops.random import get_rng_state

RNG = np.random.default_rng(2)


def tensor(*shape: int, seed: int = 0, dtype: Any = np.float64) -> Tensor:
    x = np.random.default_rng(seed).standard_normal(shape).astype(dtype)
    return minigrad.from_numpy(np.asarray(x))


def perceptron(nn: Any) -> Any:
    return nn.Sequential(
        nn.Linear(5, 8), nn.LeakyReLU(0.2), nn.LayerNorm(8), nn.Linear(8, 8), nn.Tanh(),
        nn.Linear(8, 1),
    )  # fmt: skip


def convolutional(nn: Any) -> Any:
    return nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1), nn.ReLU(), nn.BatchNorm2d(4), nn.MaxPool2d(2),
        nn.Conv2d(4, 3, 3, stride=2), nn.SiLU(), nn.AvgPool2d(1), nn.Flatten(), nn.Linear(3, 1),
    )  # fmt: skip


def twins(build: Any, dtype: Any) -> tuple[Any, Any, Any]:
    torch = pytest.importorskip("torch")
    ours, theirs = build(nn), build(torch.nn)
    if dtype == np.float64:
        ours, theirs = ours.double(), theirs.double()
    theirs.load_state_dict({k: torch.tensor(v.array) for k, v in ours.state_dict().items()})
    return torch, ours, theirs


SIZES = {perceptron: (6, 5), convolutional: (4, 2, 6, 6)}


class TestGradientPenalty:
    """WGAN-GP, as its scripts write it but for the line that takes the gradient."""

    @pytest.mark.slow
    @pytest.mark.parametrize("build", [perceptron, convolutional])
    @pytest.mark.parametrize("dtype", [np.float64, np.float32])
    def test_trains_the_discriminator_as_pytorch(
        self, kernels: str, build: Any, dtype: Any
    ) -> None:
        torch, D, T = twins(build, dtype)
        x = tensor(*SIZES[build], dtype=dtype)
        a, b = optim.Adam(D.parameters(), lr=0.01), torch.optim.Adam(T.parameters(), lr=0.01)
        for _ in range(3):
            a.zero_grad()
            gradient = func.grad(lambda x: D(x).sum())(x)
            norms = gradient.reshape(len(x), -1).norm(2, dim=1)
            penalty = ((norms - 1) ** 2).mean()
            (D(x).mean() + 10 * penalty).backward()

            b.zero_grad()
            xt = torch.from_numpy(x.array).requires_grad_()
            (g,) = torch.autograd.grad(T(xt).sum(), xt, create_graph=True)
            expected = ((g.reshape(len(x), -1).norm(2, dim=1) - 1) ** 2).mean()
            (T(xt).mean() + 10 * expected).backward()

            # 32-bit: the real forwards round differently, the second derivatives are in 64 bits
            rtol, atol = (1e-8, 1e-11) if dtype == np.float64 else (2e-3, 2e-5)
            np.testing.assert_allclose(penalty.item(), expected.item(), rtol, atol)
            for (name, p), q in zip(D.named_parameters(), T.parameters(), strict=True):
                np.testing.assert_allclose(p.grad.array, q.grad.numpy(), rtol, atol, err_msg=name)
                assert p.grad.dtype == dtype
            T_state = {k: torch.tensor(v.array) for k, v in D.state_dict().items()}
            for key, value in T.state_dict().items():  # running statistics moved as often
                np.testing.assert_allclose(T_state[key].numpy(), value.numpy(), rtol, atol)
            a.step()
            b.step()
            T.load_state_dict({k: torch.tensor(v.array) for k, v in D.state_dict().items()})

    def test_reaches_what_made_the_input_and_is_a_part_of_larger_graphs(self) -> None:
        torch, D, T = twins(perceptron, np.float64)
        a = tensor(6, 5).requires_grad_()
        b = torch.from_numpy(a.array.copy()).requires_grad_()
        scale, other = tensor(seed=3).requires_grad_(), torch.tensor(tensor(seed=3).array)
        other.requires_grad_()
        shift = scale * scale  # made outside, and not a leaf
        out = func.grad(lambda x: (D(x * shift) * shift).sum())(a.sin())
        (out.exp() * a).sum().backward()
        s = other * other
        y = b.sin()
        (g,) = torch.autograd.grad((T(y * s) * s).sum(), y, create_graph=True)
        (g.exp() * b).sum().backward()
        np.testing.assert_allclose(a.grad.array, b.grad.numpy(), 1e-9)
        np.testing.assert_allclose(scale.grad.array, other.grad.numpy(), 1e-9)
        for p, q in zip(D.parameters(), T.parameters(), strict=True):
            expected = np.zeros(p.shape) if q.grad is None else q.grad.numpy()
            np.testing.assert_allclose(p.grad.array, expected, 1e-8, 1e-12)

    def test_random_numbers_are_those_of_the_first_time(self) -> None:
        x, weight = tensor(40, 3), tensor(3).requires_grad_()
        minigrad.manual_seed(5)
        first = func.grad(lambda x: (F.dropout(x * weight, 0.5) ** 3).sum())(x)
        after = get_rng_state()
        first.sum().backward()
        assert get_rng_state() == after
        minigrad.manual_seed(5)
        kept = F.dropout(minigrad.ones(40, 3, dtype=minigrad.float64), 0.5).array
        # f = Σ (k·w·x)³, df/dx = 3·k³·w³·x², and its derivative by w 9·k³·w²·x²
        expected = (9 * kept**3 * x.array**2).sum(0) * weight.array**2
        np.testing.assert_allclose(weight.grad.array, expected, 1e-12)

    def test_huge_and_tiny_cotangents(self) -> None:
        x = tensor(3).requires_grad_()
        for size in (1e-200, 1e-30, 1.0, 1e30, 1e200):
            x.grad = None
            (func.grad(lambda x: (x**3).sum())(x) * size).sum().backward()
            np.testing.assert_allclose(x.grad.array, 6 * x.array * size, 1e-12)

    def test_gradcheck(self) -> None:
        x, w = tensor(4, 3).requires_grad_(), tensor(3, 2, seed=1).requires_grad_()
        assert minigrad.autograd.gradcheck(
            lambda x, w: func.grad(lambda x: ((x @ w).tanh() ** 2).sum())(x), (x, w)
        )

    def test_a_graph_may_be_kept_or_freed(self) -> None:
        x = tensor(3).requires_grad_()
        first = func.grad(lambda x: (x**3).sum())(x).sum()
        first.backward(retain_graph=True)
        first.backward()
        np.testing.assert_allclose(x.grad.array, 12 * x.array, 1e-12)
        with pytest.raises(RuntimeError, match="second time"):
            first.backward()

    def test_a_step_in_between_is_noticed(self) -> None:
        D = perceptron(nn)
        first = func.grad(lambda x: D(x).sum())(tensor(6, 5, dtype=np.float32))
        optimizer = optim.SGD(D.parameters(), lr=0.1)
        D(tensor(6, 5, dtype=np.float32)).sum().backward()
        optimizer.step()
        with pytest.raises(RuntimeError, match="changed in place"):
            first.sum().backward()

    def test_running_statistics_move_once(self) -> None:
        D, x = convolutional(nn), tensor(4, 2, 6, 6, dtype=np.float32)
        again = copy.deepcopy(D)
        func.grad(lambda x: D(x).sum())(x).sum().backward()
        again(x)
        for key, value in again.state_dict().items():
            np.testing.assert_array_equal(D.state_dict()[key].array, value.array)

    def test_an_error_leaves_all_as_it_was(self) -> None:
        x, calls = tensor(3).requires_grad_(), []

        def moody(x: Tensor) -> Tensor:
            calls.append(x.dtype)
            if len(calls) == 2:
                raise ZeroDivisionError
            return (x**3).sum()

        first, state = func.grad(moody)(x).sum(), get_rng_state()
        with pytest.raises(ZeroDivisionError):
            first.backward()
        assert x.grad is None and get_rng_state() == state
        assert calls == [np.float64, np.complex128] and x.dtype == np.float64


class TestGrad:
    def test_several_arguments_trees_and_the_rest(self) -> None:
        torch = pytest.importorskip("torch")

        def loss(m: Any) -> Any:
            def f(parts: Any, x: Any, factor: float = 1.0) -> Any:
                y = (x @ parts["w"] + parts["more"][0]) * factor
                return (y.tanh() * y).sum(), y

            return f

        arrays = [RNG.standard_normal(s) for s in ((3, 2), (2,), (4, 3))]
        ours = [minigrad.from_numpy(a) for a in arrays]
        theirs = [torch.from_numpy(a) for a in arrays]

        def trees(w: Any, b: Any, x: Any) -> Any:
            return {"w": w, "more": [b]}, x

        got = func.grad(loss(minigrad), (0, 1), True)(*trees(*ours), factor=2.0)
        want = torch.func.grad(loss(torch), (0, 1), True)(*trees(*theirs), factor=2.0)
        np.testing.assert_allclose(got[1].array, want[1].numpy(), 1e-12)
        for a, b in [(got[0][0]["w"], want[0][0]["w"]), (got[0][1], want[0][1]),
                     (got[0][0]["more"][0], want[0][0]["more"][0])]:  # fmt: skip
            np.testing.assert_allclose(a.array, b.numpy(), 1e-12)

    def test_of_a_model_by_functional_call(self) -> None:
        torch, D, T = twins(perceptron, np.float64)
        x = tensor(6, 5)
        got = func.grad(lambda p: func.functional_call(D, p, x).sum())(dict(D.named_parameters()))
        want = torch.func.grad(
            lambda p: torch.func.functional_call(T, p, torch.from_numpy(x.array)).sum()
        )(dict(T.named_parameters()))
        assert list(got) == list(want)
        for key, value in got.items():
            np.testing.assert_allclose(value.array, want[key].detach().numpy(), 1e-10, 1e-14)
            assert value.shape == D.get_parameter(key).shape
        assert all(p.grad is None for p in D.parameters())

    def test_second_derivatives_by_several_arguments(self) -> None:
        x, y = tensor(3).requires_grad_(), tensor(2, 2, seed=1).requires_grad_()
        dx, dy = func.grad(lambda x, y: (x**2).sum() * (y**3).sum(), (0, 1))(x, y)
        assert dx.shape == (3,) and dy.shape == (2, 2)
        (dx.sum() * 2 + (dy * y).sum()).backward()
        a, b = x.array, y.array  # L = 4·Σx·Σy³ + 3·Σx²·Σy³
        np.testing.assert_allclose(x.grad.array, (4 + 6 * a) * (b**3).sum(), 1e-12)
        np.testing.assert_allclose(y.grad.array, 3 * b**2 * (4 * a.sum() + 3 * (a**2).sum()), 1e-12)

    def test_the_value_has_its_own_graph(self) -> None:
        x = tensor(3).requires_grad_()
        for first, value in (
            func.grad_and_value(lambda x: (x**3).sum())(x),
            func.value_and_grad(lambda x: (x**3).sum())(x)[::-1],
        ):
            x.grad = None
            (first.sum() + value).backward()
            np.testing.assert_allclose(x.grad.array, 6 * x.array + 3 * x.array**2, 1e-12)
        got, (value, rest) = func.grad_and_value(lambda x: (x.sum(), "more"), has_aux=True)(x)
        assert rest == "more" and value.item() == x.sum().item() and (got.array == 1).all()

    def test_a_gradient_of_a_gradient(self) -> None:
        x = minigrad.tensor(0.7, dtype=minigrad.float64).requires_grad_()
        second = func.grad(func.grad(minigrad.sin))(x)
        np.testing.assert_allclose(second.item(), -np.sin(0.7), 1e-14)
        with pytest.raises(NotImplementedError, match="third derivative"):
            second.backward()

    def test_by_another_argument_than_the_inner_one(self) -> None:
        x, y = tensor(3).requires_grad_(), tensor(3, seed=1).requires_grad_()

        def slope(y: Tensor) -> Tensor:
            return func.grad(lambda x: (x**2 * y**3).sum())(x).sum()

        mixed = func.grad(slope)(y)
        np.testing.assert_allclose(mixed.array, 6 * x.array * y.array**2, 1e-12)
        with pytest.raises(NotImplementedError, match="third derivative"):
            mixed.sum().backward()
        np.testing.assert_allclose(func.jacfwd(slope)(y).array, 6 * x.array * y.array**2, 1e-12)

    def test_records_nothing_without_need(self) -> None:
        x = tensor(3)
        assert not func.grad(lambda x: (x**2).sum())(x).requires_grad
        x.requires_grad_()
        with minigrad.no_grad():
            first = func.grad(lambda x: (x**2).sum())(x)
        assert not first.requires_grad
        np.testing.assert_array_equal(first.array, 2 * x.array)

    def test_what_the_value_does_not_depend_on_is_zero(self) -> None:
        x, y = tensor(3), tensor(2)
        got = func.grad(lambda x, y: (x * x).sum(), (0, 1))(x, y)
        np.testing.assert_array_equal(got[1].array, np.zeros(2))
        np.testing.assert_array_equal(
            func.grad(lambda x: minigrad.tensor(3.0))(x).array, np.zeros(3)
        )

    def test_refusals(self) -> None:
        x = tensor(3)
        with pytest.raises(RuntimeError, match=r"scalar, got a tensor of shape \(3,\)"):
            func.grad(lambda x: x * x)(x)
        with pytest.raises(TypeError, match="must return a tensor, got float"):
            func.grad(lambda x: 1.0)(x)
        with pytest.raises(TypeError, match="floating tensor, got dtype int64"):
            func.grad(lambda x: x.sum())(minigrad.tensor([1, 2]))
        with pytest.raises(TypeError, match="got str"):
            func.grad(lambda x: x)("x")
        with pytest.raises(RuntimeError, match="argnums 2 of 1 arguments"):
            func.grad(lambda x: x.sum(), 2)(x)
        with pytest.raises(RuntimeError, match="pair"):
            func.grad(lambda x: x.sum(), has_aux=True)(x)

    def test_vmap(self) -> None:
        """Derivatives of single examples, as scripts take them, beside PyTorch's."""
        torch = pytest.importorskip("torch")
        rng = np.random.default_rng(0)
        a, b = rng.standard_normal((4, 3)), rng.standard_normal((3, 4))
        found = []
        for m in (minigrad, torch):
            x, y = m.tensor(a, requires_grad=True), m.tensor(b)
            dots = m.func.vmap(lambda u, v: (u * v).sum(), in_dims=(0, 1))(x, y)
            dots.sum().backward()
            each = m.func.vmap(m.func.grad(lambda w, u: (w * u * u).sum()), in_dims=(None, 0))(
                y[:, 0], x.detach()
            )
            parts = m.vmap(lambda d, k: (d["u"] * 2, d["u"] + k), out_dims=(1, 0))(
                {"u": x.detach()}, m.arange(4.0)
            )
            found.append([dots.detach(), x.grad, each, *parts])
        for ours, theirs in zip(*found, strict=True):
            assert ours.shape == tuple(theirs.shape)
            np.testing.assert_allclose(ours.numpy(), theirs.numpy(), 1e-12)
        for wrong in (
            lambda: func.vmap(lambda u: u, in_dims=(0, 0))(minigrad.ones(2)),
            lambda: func.vmap(lambda u, v: u + v)(minigrad.ones(2), minigrad.ones(3)),
            lambda: func.vmap(lambda u: u)(minigrad.ones(())),
            lambda: func.vmap(lambda u: u)(minigrad.ones(0)),
            lambda: func.vmap(lambda u: u, randomness="same"),
        ):
            with pytest.raises(ValueError, match="vmap: "):
                wrong()

    def test_create_graph_says_what_to_write(self) -> None:
        x = tensor(3).requires_grad_()
        y = (x * x).sum()
        for call in (
            lambda: y.backward(create_graph=True),
            lambda: minigrad.autograd.grad(y, x, create_graph=True),
            lambda: minigrad.autograd.backward(y, create_graph=True),
        ):
            with pytest.raises(
                NotImplementedError, match=r"(?s)from minigrad.func import grad\n.*\)\(x\)"
            ):
                call()
        y.backward()


def network(m: Any) -> Any:
    w = m.from_numpy(np.random.default_rng(9).standard_normal((3, 2)))
    return lambda x: m.tanh(x @ w) * x[:, :2]


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
class TestOthers:
    """Against PyTorch, to rounding."""

    @pytest.mark.parametrize("name", ["jacrev", "jacfwd"])
    @pytest.mark.parametrize("shape", [(4, 3), (1, 3)])
    def test_jacobians(self, name: str, shape: Any) -> None:
        torch = pytest.importorskip("torch")
        x = tensor(*shape)
        got = getattr(func, name)(network(minigrad))(x)
        want = getattr(torch.func, name)(network(torch))(torch.from_numpy(x.array))
        assert got.shape == want.shape
        np.testing.assert_allclose(got.array, want.numpy(), 1e-12, 1e-14)

    @pytest.mark.parametrize("name", ["jacrev", "jacfwd", "hessian"])
    def test_by_several_arguments(self, name: str) -> None:
        torch = pytest.importorskip("torch")
        x, y = tensor(3), tensor(2, seed=1)

        def f(x: Any, y: Any) -> Any:
            return (x**3).sum() * y.exp().sum()

        got = getattr(func, name)(f, (0, 1))(x, y)
        want = getattr(torch.func, name)(f, (0, 1))(*(torch.from_numpy(v.array) for v in (x, y)))
        flat = lambda v: [w for p in v for w in flat(p)] if isinstance(v, tuple) else [v]  # noqa: E731
        assert len(flat(got)) == len(flat(want)) == (4 if name == "hessian" else 2)
        for a, b in zip(flat(got), flat(want), strict=True):
            assert a.shape == b.shape
            np.testing.assert_allclose(a.array, b.numpy(), 1e-12, 1e-14)

    def test_hessian(self) -> None:
        torch = pytest.importorskip("torch")
        x = tensor(4, 3)
        got = func.hessian(lambda x: (network(minigrad)(x) ** 2).sum())(x)
        want = torch.func.hessian(lambda x: (network(torch)(x) ** 2).sum())(
            torch.from_numpy(x.array)
        )
        assert got.shape == (4, 3, 4, 3)
        np.testing.assert_allclose(got.array, want.numpy(), 1e-11, 1e-13)

    def test_products_with_the_jacobian(self) -> None:
        torch = pytest.importorskip("torch")
        x, v, c = tensor(4, 3), tensor(4, 3, seed=1), tensor(4, 2, seed=2)
        xt, vt, ct = (torch.from_numpy(a.array) for a in (x, v, c))
        out, tangent = func.jvp(network(minigrad), (x,), (v,))
        expected, along = torch.func.jvp(network(torch), (xt,), (vt,))
        np.testing.assert_allclose(out.array, expected.numpy(), 1e-13)
        np.testing.assert_allclose(tangent.array, along.numpy(), 1e-12)
        out, pull = func.vjp(network(minigrad), x)
        (back,) = torch.func.vjp(network(torch), xt)[1](ct)
        (got,) = pull(c)
        np.testing.assert_allclose(got.array, back.numpy(), 1e-12)
        with pytest.raises(RuntimeError, match=r"cotangent of the output's shape \(4, 2\)"):
            pull(v)
        with pytest.raises(RuntimeError, match="tangents of shapes"):
            func.jvp(network(minigrad), (x,), (c,))

    def test_a_pull_is_on_the_tape(self) -> None:
        x, c = tensor(4, 3).requires_grad_(), tensor(4, 2).requires_grad_()
        assert minigrad.autograd.gradcheck(
            lambda x, c: func.vjp(network(minigrad), x)[1](c)[0], (x, c)
        )

    def test_single_precision_stays(self) -> None:
        x = tensor(3, dtype=np.float32)
        assert func.jacrev(minigrad.exp)(x).dtype == np.float32
        assert func.jacfwd(minigrad.exp)(x).dtype == np.float32
        assert func.jvp(minigrad.exp, (x,), (x,))[1].dtype == np.float32
        assert func.grad(lambda x: x.exp().sum())(x).dtype == np.float32
