"""Generators: streams of their own, in everything that draws at random."""

from __future__ import annotations

import copy
import math
import pickle
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import Tensor, nn

x = mg.zeros(50)
DRAWS = {
    "rand": lambda g: mg.rand(50, generator=g),
    "randn": lambda g: mg.randn(50, generator=g),
    "randint": lambda g: mg.randint(0, 9, (50,), generator=g),
    "randperm": lambda g: mg.randperm(50, generator=g),
    "rand_like": lambda g: mg.rand_like(x, generator=g),
    "randn_like": lambda g: mg.randn_like(x, generator=g),
    "normal": lambda g: mg.normal(0.0, 1.0, (50,), generator=g),
    "normal of tensors": lambda g: mg.normal(x, mg.ones(50), generator=g),
    "bernoulli": lambda g: mg.bernoulli(x + 0.5, generator=g),
    "bernoulli p": lambda g: x.bernoulli(0.5, generator=g),
    "multinomial": lambda g: (x + 1).multinomial(50, generator=g),
    "normal_": lambda g: mg.zeros(50).normal_(generator=g),
    "uniform_": lambda g: mg.zeros(50).uniform_(generator=g),
    "bernoulli_": lambda g: mg.zeros(50).bernoulli_(generator=g),
    "cauchy_": lambda g: mg.zeros(50).cauchy_(generator=g),
    "log_normal_": lambda g: mg.zeros(50).log_normal_(generator=g),
    "geometric_": lambda g: mg.zeros(50).geometric_(0.1, generator=g),
    "randint_like": lambda g: mg.randint_like(x, 2, 9, generator=g),
    "random_": lambda g: mg.zeros(50).random_(generator=g),
    "exponential_": lambda g: mg.zeros(50).exponential_(generator=g),
    "uniform_ of init": lambda g: nn.init.uniform_(mg.zeros(50), generator=g),
    "normal_ of init": lambda g: nn.init.normal_(mg.zeros(50), 0.0, 1.0, g),
    "trunc_normal_": lambda g: nn.init.trunc_normal_(mg.zeros(50), generator=g),
    "uniform_ of xavier": lambda g: nn.init.xavier_uniform_(mg.zeros(5, 10), 1.0, g),
    "normal_ of xavier": lambda g: nn.init.xavier_normal_(mg.zeros(5, 10), generator=g),
    "uniform_ of kaiming": lambda g: nn.init.kaiming_uniform_(mg.zeros(5, 10), generator=g),
    "normal_ of kaiming": lambda g: nn.init.kaiming_normal_(mg.zeros(5, 10), generator=g),
    "orthogonal_": lambda g: nn.init.orthogonal_(mg.zeros(5, 10), 1, g),
}


@pytest.mark.parametrize("name", DRAWS)
def test_a_generator_decides_and_leaves_the_librarys_alone(name: str) -> None:
    draw, before = DRAWS[name], mg.get_rng_state()
    g = mg.Generator().manual_seed(3)
    first, second = draw(g).tolist(), draw(g).tolist()
    assert first != second and draw(mg.Generator().manual_seed(3)).tolist() == first
    assert draw(mg.Generator().manual_seed(4)).tolist() != first
    assert mg.get_rng_state() == before
    mg.manual_seed(3)  # the library's own is such a generator
    assert draw(None).tolist() == first and mg.get_rng_state() != before


@pytest.mark.parametrize("name", DRAWS)
def test_what_is_no_generator_is_refused(name: str) -> None:
    op = name.split()[0]
    for wrong in (3, np.random.default_rng(0), mg.Generator):
        pattern = rf"^(zeros\.)?{op.removesuffix('_like')}.*generator must be a minigrad\.Generator"
        with pytest.raises(TypeError, match=pattern):
            DRAWS[name](wrong)


def test_states_and_seeds() -> None:
    g = mg.Generator()
    assert g.device == mg.device("cpu") and g.initial_seed() == mg.Generator().initial_seed()
    assert mg.rand(3, generator=g).tolist() == mg.rand(3, generator=mg.Generator()).tolist()
    assert g.manual_seed(5) is g and g.initial_seed() == 5
    state = g.get_state()
    first = mg.randn(4, generator=g).tolist()
    copies = [copy.deepcopy(g), pickle.loads(pickle.dumps(g)), g.clone_state()]
    second = mg.randn(4, generator=g).tolist()
    assert [mg.randn(4, generator=c).tolist() for c in copies] == [second] * 3
    other = mg.Generator()
    other.set_state(state)
    assert other.initial_seed() == 5 and mg.randn(4, generator=other).tolist() == first
    seed = g.seed()
    assert seed == g.initial_seed() != mg.Generator().seed() and 0 <= seed < 2**64
    drawn = mg.rand(3, generator=g).tolist()
    assert drawn == mg.rand(3, generator=mg.Generator().manual_seed(seed)).tolist()
    with pytest.raises(RuntimeError, match="device must be 'cpu'"):
        mg.Generator("cuda")


@pytest.mark.parametrize("state", [3, None, {}, {"state": 1}, [1]], ids=repr)
def test_a_wrong_state_changes_nothing(state: Any) -> None:
    g = mg.Generator().manual_seed(5)
    before = g.get_state()
    with pytest.raises(TypeError, match="set_state: expected what get_state returned"):
        g.set_state(state)
    assert g.get_state() == before


def test_the_librarys_seed() -> None:
    assert mg.manual_seed(7).initial_seed() == 7 == mg.initial_seed()
    seed = mg.seed()
    assert seed == mg.initial_seed()
    first = mg.rand(3).tolist()
    mg.manual_seed(seed)
    assert mg.rand(3).tolist() == first


@pytest.mark.parametrize("seed", [0, 1, 2**63, 2**64 - 1, -1, -(2**63), -(2**63) - 1, 2**64])
def test_seeds_are_those_of_pytorch(seed: int) -> None:
    torch = pytest.importorskip("torch")
    found = []
    for m in (mg, torch):
        g = m.Generator()
        try:
            found.append(g.manual_seed(seed).initial_seed())
        except ValueError:
            found.append(g.initial_seed())
    assert found[0] == found[1]


def test_the_distributions_of_random_and_exponential() -> None:
    n = 40_000  # the tolerances are 5 standard errors
    e = mg.zeros(n, dtype=mg.float64).exponential_(2.5).array
    assert (e > 0).all() and abs(e.mean() - 0.4) < 5 * 0.4 / np.sqrt(n)
    assert abs((e > 0.4).mean() - np.exp(-1)) < 5 * 0.5 / np.sqrt(n)
    assert set(mg.zeros(n).random_(-2, 2).tolist()) == {-2, -1, 0, 1}
    assert set(mg.zeros(n, dtype=mg.int64).random_(3).tolist()) == {0, 1, 2}
    for dtype, most in (
        (mg.uint8, 255), (mg.int8, 127), (mg.bool, 1), (mg.float16, 2**11), (mg.float32, 2**24),
        (mg.int32, 2**31 - 1), (mg.float64, 2**53), (mg.int64, 2**63 - 1),
    ):  # fmt: skip
        r = mg.zeros(n, dtype=dtype).random_().array.astype(np.float64)
        assert r.min() >= 0 and r.max() <= most and r.max() > 0.99 * most
        assert abs(r.mean() / most - 0.5) < 5 * 0.5 / np.sqrt(n)


def test_the_distributions_of_cauchy_geometric_and_log_normal() -> None:
    n = 40_000  # the tolerances are 5 standard errors
    c = mg.zeros(n, dtype=mg.float64).cauchy_(3, 2).array
    for point, below in ((1, 0.25), (3, 0.5), (5, 0.75)):
        assert abs((c < point).mean() - below) < 5 * 0.5 / np.sqrt(n)
    logs = np.log(mg.zeros(n, dtype=mg.float64).log_normal_(0.5, 0.3).array)
    assert abs(logs.mean() - 0.5) < 5 * 0.3 / np.sqrt(n)
    assert abs(logs.std() - 0.3) < 5 * 0.3 / np.sqrt(2 * n)
    for dtype in (mg.float32, mg.int64, mg.uint8):
        g = mg.zeros(n, dtype=dtype).geometric_(0.3).array
        assert g.min() == 1 and (g == np.round(g)).all()
        for k in (1, 2, 4):
            assert abs((g == k).mean() - 0.3 * 0.7 ** (k - 1)) < 5 * 0.5 / np.sqrt(n)
    assert (mg.zeros(n, dtype=mg.int8).geometric_(1e-3).array > 0).all()  # none wraps around


def test_a_block_that_leaves_the_generator_as_it_was() -> None:
    before = mg.get_rng_state()
    with mg.random.fork_rng():
        mg.rand(3)
        assert mg.random.get_rng_state() != before
    assert mg.get_rng_state() == before
    with pytest.raises(ZeroDivisionError), mg.random.fork_rng():
        mg.random.manual_seed(7)
        mg.rand(1 // 0)
    assert mg.get_rng_state() == before
    with mg.random.fork_rng(enabled=False):
        mg.rand(3)
    assert mg.get_rng_state() != before


REFUSED = [
    lambda m: m.zeros(3).exponential_(0), lambda m: m.zeros(3, dtype=m.int64).exponential_(),
    lambda m: m.zeros(3).cauchy_(0, 0), lambda m: m.zeros(3, dtype=m.int64).cauchy_(),
    lambda m: m.zeros(3).log_normal_(0, 0), lambda m: m.zeros(3, dtype=m.int64).log_normal_(),
    lambda m: m.zeros(3).geometric_(0), lambda m: m.zeros(3).geometric_(1.0),
    lambda m: m.zeros(3, dtype=m.bool).geometric_(0.5), lambda m: m.randint_like(m.zeros(3), 0),
    lambda m: m.randint_like(m.zeros(3, dtype=m.uint8), 300),
    lambda m: m.zeros(3).uniform_(3, 2), lambda m: m.zeros(3).normal_(0, -1),
    lambda m: m.zeros(3).bernoulli_(2), lambda m: m.zeros(3).random_(3, 3),
    lambda m: m.zeros(3).random_(0), lambda m: m.zeros(3, dtype=m.uint8).random_(0, 300),
    lambda m: m.zeros(3, dtype=m.uint8).random_(-1, 3), lambda m: m.zeros(3).random_(2.5),
    lambda m: m.zeros(3, dtype=m.float16).random_(100000), lambda m: m.normal(0.0, -1.0, (2,)),
    lambda m: m.normal(m.zeros(2), m.ones(2), (2,)), lambda m: m.bernoulli(m.zeros(2), 2.0),
    lambda m: m.multinomial(m.ones(2), 3), lambda m: m.multinomial(m.ones(2, 2, 2), 1),
    lambda m: m.multinomial(m.tensor([1.0, math.inf]), 1),
    lambda m: m.zeros(3).int().uniform_(), lambda m: m.zeros(3).int().normal_(),
    lambda m: m.zeros(2).bernoulli_(m.zeros(1, 2)), lambda m: m.zeros(2).bernoulli_(m.zeros(3)),
    lambda m: m.multinomial(m.tensor([1.0, -1.0]), 1), lambda m: m.multinomial(m.zeros(2), 1),
]  # fmt: skip


@pytest.mark.parametrize(
    "name",
    [
        "normal_",
        "uniform_",
        "bernoulli_",
        "exponential_",
        "random_",
        "cauchy_",
        "log_normal_",
    ],
)
def test_what_cannot_be_written_to_is_refused_before_anything_is_drawn(name: str) -> None:
    before = mg.get_rng_state()
    for x in (mg.ones(3, requires_grad=True), mg.ones(1).expand(3)):
        with pytest.raises(RuntimeError, match=f"^{name}: "):
            getattr(x, name)()
        assert mg.get_rng_state() == before and x.tolist() == [1, 1, 1]
    x = mg.ones(3, requires_grad=True)
    y = x * 2
    getattr(y, name)()  # the old values do not matter any more
    y.backward(mg.tensor([1.0, 2.0, 3.0]))
    assert x.grad is not None and x.grad.tolist() == [0, 0, 0]


@pytest.mark.parametrize("call", REFUSED)
def test_what_pytorch_refuses(call: Any) -> None:
    torch = pytest.importorskip("torch")
    with pytest.raises((RuntimeError, TypeError, NotImplementedError)):
        call(torch)
    before = mg.get_rng_state()
    with pytest.raises((RuntimeError, ValueError, TypeError), match=r"^\w+: "):
        call(mg)
    assert mg.get_rng_state() == before


@pytest.mark.parametrize("count", [1, 7])
def test_multinomial_draws_what_numpy_does(count: int) -> None:
    """With replacement it looks for uniform numbers in the cumulated weights, as numpy's choice."""
    weights = np.random.default_rng(0).random((6, 5))
    weights[3, [0, 4]] = 0
    before = weights.copy()
    found = mg.multinomial(Tensor(weights), count, True, generator=mg.Generator().manual_seed(5))
    rng = np.random.default_rng(5)
    expected = [rng.choice(5, count, True, row / row.sum()) for row in weights]
    np.testing.assert_array_equal(found.array, expected)
    np.testing.assert_array_equal(weights, before)


def test_a_probability_for_each_element() -> None:
    p = mg.tensor([0.0, 1.0, 1.0])
    assert mg.zeros(2, 3).bernoulli_(p).tolist() == [[0, 1, 1]] * 2
    assert mg.bernoulli(mg.zeros(3), 1.0).tolist() == [1, 1, 1]


def test_shapes_dtypes_and_gradients() -> None:
    assert mg.normal(mg.zeros(2, 1), mg.ones(3)).shape == (2, 3)
    like = mg.randint_like(mg.zeros(40, 2), 3)
    assert like.dtype == mg.float32 and set(like.flatten().tolist()) == {0, 1, 2}
    assert mg.randint_like(like, 2, high=3, dtype=mg.int8).tolist() == [[2, 2]] * 40
    assert mg.normal(0.0, 1.0, (0, 2)).shape == (0, 2)
    y = mg.normal(2.0, 0.0, (2,), dtype=mg.float64, requires_grad=True)
    assert y.dtype == mg.float64 and y.requires_grad and y.tolist() == [2, 2]
    assert mg.randperm(3, dtype=mg.float32, requires_grad=True).requires_grad
    assert mg.multinomial(mg.ones(0, 3), 2).shape == (0, 2)
    x = Tensor(np.ones(3), requires_grad=True)
    (x * 2).exponential_().backward(np.ones(3))  # what is overwritten passes no gradient on
    assert x.grad is not None and x.grad.tolist() == [0, 0, 0]
    for empty in (mg.zeros(0).random_(), mg.zeros(0).exponential_()):
        assert empty.shape == (0,)
