"""Measurements against closed forms and plain loops, and that they leave everything as it was."""

from __future__ import annotations

import numpy as np
import pytest

import minigrad
from minigrad import Tensor, analysis, nn, optim
from minigrad.analysis.activations import ELEMENTWISE
from minigrad.nn import functional as F
from minigrad.tensor import wrap

STEPS = (0.0, 0.1, 0.4)


class Counter(nn.Module):
    """A layer of a user's own: it moves a buffer in every forward and switches a mode."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("calls", wrap(np.zeros(2)))
        self.calls.array[1] = np.nan

    def forward(self, x: Tensor) -> Tensor:
        self.calls.array[0] += 1
        self.training = False
        return x


def network(dtype=np.float64):
    return nn.Sequential(
        nn.Linear(5, 6, bias=False, dtype=dtype),
        nn.BatchNorm1d(6, dtype=dtype),
        Counter(),
        nn.NoiseInjection(),
        nn.Tanh(),
        nn.Dropout(0.3),
        nn.Residual(nn.Linear(6, 6, dtype=dtype), nn.Sigmoid()),
        nn.Linear(6, 3, dtype=dtype),
    )


def batch(dtype=np.float64):
    return minigrad.randn(12, 5, dtype=dtype), minigrad.randint(0, 3, (12,))


MEASUREMENTS = {
    "gradient_norms": lambda *a: analysis.gradient_norms(*a),
    "internal_covariate_shift": lambda *a: analysis.internal_covariate_shift(*a, lr=0.1),
    "along_gradient": lambda *a: analysis.along_gradient(*a, STEPS),
    "loss_landscape": lambda *a: analysis.loss_landscape(*a, STEPS),
    "gradient_predictiveness": lambda *a: analysis.gradient_predictiveness(*a, STEPS),
    "effective_smoothness": lambda *a: analysis.effective_smoothness(*a, STEPS),
    "sharpness": lambda *a: analysis.sharpness(*a, iterations=3),
}


def everything(model, x):
    """All that a measurement might change, in a form that == compares to the bit."""
    tensors = {**dict(model.named_parameters()), **dict(model.named_buffers()), "x": x}
    return {
        "values": {key: t.array.tobytes() for key, t in tensors.items()},
        "arrays": {key: id(t.array) for key, t in tensors.items()},
        "nodes": {key: id(t.node) for key, t in tensors.items()},
        "gradients": {
            key: None if t.grad is None else (id(t.grad.array), t.grad.array.tobytes())
            for key, t in tensors.items()
        },
        "modes": [module.training for module in model.modules()],
        "hooks": [len(module._forward_hooks) for module in model.modules()],
        "random": repr(minigrad.get_rng_state()),
        "recording": minigrad.is_grad_enabled(),
    }


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", MEASUREMENTS)
def test_a_measurement_leaves_everything_as_it_was(name, training, dtype, kernels):
    model = network(dtype)
    x, y = batch(dtype)
    x.requires_grad_()
    F.cross_entropy(model(x), y).backward()  # gradients and statistics to be kept
    model.train(training)
    before = everything(model, x)
    MEASUREMENTS[name](model, F.cross_entropy, x, y)
    assert everything(model, x) == before


@pytest.mark.parametrize("fatal", [1, 2])
@pytest.mark.parametrize("name", MEASUREMENTS)
def test_also_when_the_loss_raises(name, fatal):
    model = network()
    x, y = batch()
    F.cross_entropy(model(x), y).backward()
    model.train()
    calls = []

    def loss(output, target):
        calls.append(output)
        if len(calls) == fatal:
            raise KeyError("my own error")
        return F.cross_entropy(output, target)

    before = everything(model, x)
    if name == "gradient_norms" and fatal == 2:  # it asks once only
        MEASUREMENTS[name](model, loss, x, y)
    else:
        with pytest.raises(KeyError, match="my own error"):
            MEASUREMENTS[name](model, loss, x, y)
    assert everything(model, x) == before


@pytest.mark.parametrize("name", MEASUREMENTS)
def test_measuring_works_without_grad_mode_and_keeps_it_off(name):
    model = network()
    x, y = batch()
    expected = repr(MEASUREMENTS[name](model, F.cross_entropy, x, y))
    with minigrad.no_grad():
        assert repr(MEASUREMENTS[name](model, F.cross_entropy, x, y)) == expected
        assert not minigrad.is_grad_enabled()


def test_gradient_norms_are_those_of_backward():
    model = nn.Sequential(nn.Linear(5, 4), nn.BatchNorm1d(4), nn.Sigmoid(), nn.Linear(4, 3))
    model[3].bias.requires_grad_(False)
    x, y = batch(np.float32)
    found = analysis.gradient_norms(model, F.cross_entropy, x, y)
    F.cross_entropy(model(x), y).backward()
    assert list(found) == ["0", "1", "3"]
    for path, value in found.items():
        grads = [p.grad.numpy() for p in model.get_submodule(path).parameters() if p.requires_grad]
        assert value == pytest.approx(np.sqrt(sum((g.astype(float) ** 2).sum() for g in grads)))


def test_a_layer_that_the_loss_does_not_use_has_gradient_zero():
    model = nn.Sequential(nn.Linear(5, 3), nn.Identity())
    model.spare = nn.Linear(2, 2)
    model.forward = lambda x: model[0](x)
    found = analysis.gradient_norms(model, F.cross_entropy, *batch(np.float32))
    assert found["spare"] == 0 and found["0"] > 0


class Quadratic(nn.Module):
    """L(w) = ½·wᵀAw, with gradient Aw and Hessian A."""

    def __init__(self, matrix, start) -> None:
        super().__init__()
        self.matrix = minigrad.tensor(np.asarray(matrix, float))
        self.w = nn.Parameter(minigrad.tensor(np.asarray(start, float)))

    def forward(self, x):
        return 0.5 * (self.w * (self.matrix @ self.w)).sum()


def identity(output, target):
    return output


def test_along_a_quadratic_everything_is_known():
    rng = np.random.default_rng(0)
    root = rng.standard_normal((4, 4))
    a, w = root @ root.T, rng.standard_normal(4)
    g = a @ w
    steps = np.array([0, 0.05, 0.3])
    args = (Quadratic(a, w), identity, None, None, steps)
    points = [w - s * g for s in steps]
    loss = [0.5 * p @ a @ p for p in points]
    change = [np.linalg.norm(g - a @ p) for p in points]
    line = analysis.along_gradient(*args)
    np.testing.assert_allclose(line.loss, loss, rtol=1e-12)
    np.testing.assert_allclose(line.gradient_change, change, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(line.distance, steps * np.linalg.norm(g), rtol=1e-12)
    np.testing.assert_allclose(analysis.loss_landscape(*args), loss, rtol=1e-12)
    np.testing.assert_allclose(
        analysis.gradient_predictiveness(*args), change, rtol=1e-12, atol=1e-14
    )
    # ‖A·g‖/‖g‖, for every step
    beta = np.linalg.norm(a @ g) / np.linalg.norm(g)
    assert analysis.effective_smoothness(*args) == pytest.approx(beta, rel=1e-9)
    assert line.smoothness == pytest.approx(beta, rel=1e-9)
    assert analysis.effective_smoothness(*args[:4], [0.0]) == 0


@pytest.mark.parametrize("eigenvalues", [(5, 2, 1), (3, -7, 1), (-1, -4, -2), (0, -3, 0)])
def test_sharpness_is_the_largest_eigenvalue(eigenvalues):
    q, _ = np.linalg.qr(np.random.default_rng(1).standard_normal((3, 3)))
    model = Quadratic(q @ np.diag(eigenvalues) @ q.T, [1, 2, 3])
    found = analysis.sharpness(model, identity, None, None, iterations=1000, tol=1e-12)
    assert found == pytest.approx(max(eigenvalues), abs=1e-8)


def test_sharpness_of_a_linear_loss_is_zero():
    model = nn.Linear(3, 1, bias=False, dtype=np.float64)
    x = minigrad.randn(4, 3, dtype=np.float64)
    assert analysis.sharpness(model, lambda out, y: (out * y).sum(), x, 2.0) == 0


def test_sharpness_of_a_network_against_its_whole_hessian():
    model = nn.Sequential(
        nn.Linear(3, 3, bias=False), nn.BatchNorm1d(3), nn.Tanh(), nn.Linear(3, 2)
    )
    x, y = minigrad.randn(8, 3), minigrad.randint(0, 2, (8,))
    found = analysis.sharpness(model, F.cross_entropy, x, y, iterations=2000, tol=1e-10)

    # the Hessian from differences of float64 gradients
    model.double()
    parameters = list(model.parameters())
    flat = np.concatenate([p.array.ravel() for p in parameters])

    def gradient(values):
        rest = values
        for p in parameters:
            p.array[...] = rest[: p.numel()].reshape(p.shape)
            rest = rest[p.numel() :]
        grads = minigrad.autograd.grad(F.cross_entropy(model(x.double()), y), parameters)
        return np.concatenate([g.numpy().ravel() for g in grads])

    h = 1e-5
    columns = [
        (gradient(flat + h * e) - gradient(flat - h * e)) / (2 * h) for e in np.eye(len(flat))
    ]
    assert found == pytest.approx(np.linalg.eigvalsh(np.array(columns)).max(), rel=1e-5)


def test_internal_covariate_shift_against_its_definition():
    model = nn.Sequential(nn.Linear(5, 4), nn.BatchNorm1d(4), nn.Tanh(), nn.Linear(4, 3)).double()
    x, y = batch()
    lr = 0.7
    found = analysis.internal_covariate_shift(model, F.cross_entropy, x, y, lr)

    def gradients():
        model.zero_grad()
        F.cross_entropy(model(x), y).backward()
        return {
            path: np.concatenate([p.grad.numpy().ravel() for p in model[int(path)].parameters()])
            for path in found
        }

    before = gradients()
    for path, shift in found.items():  # then this layer steps, and the next one sees it
        after = gradients()[path]
        g = before[path]
        assert shift.distance == pytest.approx(np.linalg.norm(g - after), abs=1e-13)
        assert shift.cosine == pytest.approx(g @ after / np.linalg.norm(g) / np.linalg.norm(after))
        assert shift.norm == pytest.approx(np.linalg.norm(g))
        for p in model[int(path)].parameters():
            size = p.numel()
            p.array[...] -= lr * g[:size].reshape(p.shape)
            g = g[size:]
    assert found["0"].distance == 0 and found["3"].distance > 1e-3


def test_noise_is_the_same_in_all_evaluations_of_one_measurement():
    model = network()
    x, y = batch()
    line = analysis.along_gradient(model, F.cross_entropy, x, y, [0.0])
    assert line.gradient_change[0] == 0
    # but another random state gives another loss
    other = analysis.loss_landscape(model, F.cross_entropy, x, y, [0.0])
    assert other[0] == line.loss[0]
    minigrad.manual_seed(5)
    assert analysis.loss_landscape(model, F.cross_entropy, x, y, [0.0])[0] != line.loss[0]


def test_shared_weights_move_together():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.one = nn.Linear(3, 3, bias=False, dtype=np.float64)
            self.two = nn.Linear(3, 3, bias=False, dtype=np.float64)
            self.two.weight = self.one.weight

        def forward(self, x):
            return self.two(self.one(x))

    model = Tied()
    x = minigrad.randn(4, 3, dtype=np.float64)
    loss = lambda out, y: (out * out).mean()  # noqa: E731
    (value,) = analysis.loss_landscape(model, loss, x, None, [0.2])
    loss(model(x), None).backward()
    optim.SGD(model.parameters(), lr=0.2).step()
    assert value == pytest.approx(loss(model(x), None).item())


def test_several_arguments_reach_the_network():
    model = nn.Linear(3, 2)
    model.forward = lambda a, b: F.linear(a + b, model.weight, model.bias)
    a, b = minigrad.randn(4, 3), minigrad.randn(4, 3)
    y = minigrad.randint(0, 2, (4,))
    (value,) = analysis.loss_landscape(model, F.cross_entropy, (a, b), y, [0.0])
    assert value == pytest.approx(F.cross_entropy(model(a, b), y).item())


@pytest.mark.parametrize("name", MEASUREMENTS)
def test_refusals_name_the_measurement(name):
    measure = MEASUREMENTS[name]
    who = "along_gradient" if name in ("gradient_predictiveness", "effective_smoothness") else name
    model = nn.Linear(5, 3)
    x, y = batch(np.float32)
    with pytest.raises(TypeError, match=f"{who}: model must be a Module, got function"):
        measure(F.relu, F.cross_entropy, x, y)
    with pytest.raises(ValueError, match=rf"{who}: loss_fn must return .* got shape \(12,\)"):
        measure(model, lambda out, t: F.cross_entropy(out, t, reduction="none"), x, y)
    with pytest.raises(ValueError, match=f"{who}: loss_fn must return .* got float"):
        measure(model, lambda out, t: 0.5, x, y)
    if name != "sharpness":  # whose Hessian is then zero
        with pytest.raises(ValueError, match="does not depend on the model's parameters"):
            measure(model, lambda out, t: x.sum(), x, y)
    model.requires_grad_(False)
    with pytest.raises(ValueError, match=f"{who}: no parameter of Linear requires grad"):
        measure(model, F.cross_entropy, x, y)


@pytest.mark.parametrize("steps", [[], [np.nan], [[1.0]]])
def test_steps_are_checked(steps):
    args = (nn.Linear(5, 3), F.cross_entropy, *batch(np.float32), steps)
    with pytest.raises(ValueError, match="loss_landscape: steps must be"):
        analysis.loss_landscape(*args)
    with pytest.raises(ValueError, match="along_gradient: steps must be"):
        analysis.along_gradient(*args)


def test_sharpness_checks_its_limits():
    args = (nn.Linear(5, 3), F.cross_entropy, *batch(np.float32))
    with pytest.raises(ValueError, match="sharpness: iterations must be at least 1, got 0"):
        analysis.sharpness(*args, iterations=0)
    with pytest.raises(ValueError, match=r"sharpness: tol must be above 0, got 0\.0"):
        analysis.sharpness(*args, tol=0.0)


# The recorder.


def test_the_recorder_records_percentiles_and_saturation():
    model = nn.Sequential(nn.Linear(5, 4), nn.Sigmoid(), nn.Linear(4, 3), nn.ReLU())
    expected, saturated, seen = [], [], []
    with analysis.ActivationRecorder(model, percentiles=(10, 90)) as recorder:
        for _ in range(3):
            x = 20 * minigrad.randn(7, 5)
            seen.append(model(x))
            z = model[0](x).detach().numpy().astype(np.float64)  # the layer, not the model
            s = 1 / (1 + np.exp(-z))
            expected.append(np.percentile(s, (10, 90)))
            saturated.append(np.mean(s * (1 - s) < 0.05))
    assert recorder.layers == ["1", "3"]
    np.testing.assert_allclose(recorder.percentiles("1"), expected, atol=1e-6)
    np.testing.assert_allclose(recorder.saturation("1"), saturated, atol=1e-12)
    off = [np.mean(out.detach().numpy() == 0) for out in seen]
    np.testing.assert_allclose(recorder.saturation("3"), off, atol=1e-12)
    assert min(saturated) > 0 and min(off) < 1
    assert recorder.steps("1").tolist() == [0, 1, 2]
    model(x)  # after the block
    assert len(recorder.steps("1")) == 3


def test_the_recorder_watches_one_unit_of_named_layers_every_few_passes():
    model = nn.Sequential(nn.Linear(5, 4), nn.Sigmoid())
    inputs = [minigrad.randn(6, 5) for _ in range(5)]
    with analysis.ActivationRecorder(model, ["0"], unit=2, every=2) as recorder:
        outputs = [model[0](x).detach().numpy()[:, 2].astype(np.float64) for x in inputs]
    assert recorder.steps("0").tolist() == [0, 2, 4]
    expected = [np.percentile(o, (15, 50, 85)) for o in outputs[::2]]
    np.testing.assert_allclose(recorder.percentiles("0"), expected, rtol=1e-12)
    assert np.isnan(recorder.saturation("0")).all()  # a linear layer does not saturate


def test_the_recorder_passes_over_eval_mode_and_measurements():
    model = nn.Sequential(nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 3))
    x, y = batch(np.float32)
    with analysis.ActivationRecorder(model) as recorder:
        for measure in MEASUREMENTS.values():
            measure(model, F.cross_entropy, x, y)
        model.eval()(x)
        assert recorder.percentiles("1").shape == (0, 3)
        model.train()(x)
    assert recorder.percentiles("1").shape == (1, 3)


def test_recording_changes_nothing():
    model = network()
    x, y = batch()
    start = minigrad.get_rng_state()

    def gradient_and_state():
        minigrad.set_rng_state(start)
        model.train().zero_grad()
        F.cross_entropy(model(x), y).backward()
        return [p.grad.array.tobytes() for p in model.parameters()], repr(minigrad.get_rng_state())

    plain = gradient_and_state()
    with analysis.ActivationRecorder(model, [p for p, _ in model.named_modules()]):
        assert gradient_and_state() == plain
        with minigrad.no_grad():
            model(x)
    assert not any(module._forward_hooks for module in model.modules())


def test_the_recorder_stops_when_training_raises():
    model = nn.Sequential(nn.Linear(5, 4), nn.Tanh())
    with pytest.raises(RuntimeError), analysis.ActivationRecorder(model):
        model(minigrad.randn(2, 7))
    assert not model[1]._forward_hooks


def test_the_recorder_follows_a_network_that_diverges():
    model = nn.Sequential(nn.Linear(2, 2), nn.ReLU())
    model[0].weight.array[...] = np.inf
    with analysis.ActivationRecorder(model, ["0", "1"]) as recorder, np.errstate(all="ignore"):
        model(minigrad.tensor([[1.0, -1.0], [2.0, 2.0]]))
    assert not np.isfinite(recorder.percentiles("0")).all()


def test_every_elementwise_activation_has_a_derivative():
    assert nn.Softmax not in ELEMENTWISE and nn.GELU in ELEMENTWISE and nn.PReLU in ELEMENTWISE
    model = nn.Sequential(*(kind() for kind in ELEMENTWISE if not kind.__name__.startswith("_")))
    with analysis.ActivationRecorder(model) as recorder:
        model(minigrad.randn(3, 4))
    assert all(np.isfinite(recorder.saturation(path)).all() for path in recorder.layers)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layers": ["9"]}, r"layers must be paths of modules, got \['9'\]; Sequential has 0, 1"),
        ({"layers": []}, "layers must be paths"),
        ({"layers": "0"}, "layers must be paths"),
        ({"percentiles": (50, 101)}, "percentiles must be numbers from 0 to 100"),
        ({"percentiles": ()}, "percentiles must be"),
        ({"every": 0}, "every must be at least 1"),
    ],
)
def test_the_recorder_refuses_odd_arguments(options, message):
    with pytest.raises(ValueError, match=f"ActivationRecorder: {message}"):
        analysis.ActivationRecorder(nn.Sequential(nn.Linear(5, 4), nn.Tanh()), **options)


def test_the_recorder_is_not_entered_twice():
    recorder = analysis.ActivationRecorder(nn.Sequential(nn.Tanh()))
    with recorder, pytest.raises(RuntimeError, match="recording already"):
        recorder.__enter__()


# The noise layer.


def test_noise_has_a_mean_and_a_scale_per_channel_and_step():
    layer = nn.NoiseInjection(mean=0.5, scale=1.25, mean_spread=0.1, scale_spread=0.1)
    n = 4000
    ones, zeros = minigrad.ones(n, 30), minigrad.zeros(n, 30)
    means = []
    for _ in range(5):
        state = minigrad.get_rng_state()
        m = layer(zeros).numpy()  # s·0 + m
        minigrad.set_rng_state(state)
        s = layer(ones).numpy() - m
        centre = m.mean(axis=0)
        assert np.abs(m - centre).max() < 0.1 + 0.01  # uniform on ±0.1 about the channel's mean
        np.testing.assert_allclose(m.std(axis=0), 0.1 / np.sqrt(3), rtol=0.1)
        assert np.abs(centre).max() < 0.51
        assert (s.mean(axis=0) > 0.99).all() and (s.mean(axis=0) < 1.26).all()
        np.testing.assert_allclose(s.std(axis=0), 0.1, rtol=0.1)
        assert centre.std() > 0.15 and s.mean(axis=0).std() > 0.04  # channels differ
        means.append(centre)
    assert np.std(means, axis=0).min() > 0.02  # every channel moves from step to step
    assert 0.2 < np.std(means) < 0.4  # uniform on ±0.5 has 0.29


def test_noise_is_differentiated_and_off_in_eval_mode():
    layer = nn.NoiseInjection()
    x = minigrad.randn(3, 4, 2, dtype=np.float64, requires_grad=True)
    assert minigrad.autograd.gradcheck(layer, (x,))
    assert layer(x).shape == x.shape
    for dtype in (np.float16, np.float32, np.float64):
        assert layer(minigrad.zeros(2, 3, dtype=dtype)).dtype == dtype
    assert not np.array_equal(layer(x).detach().numpy(), layer(x).detach().numpy())
    assert layer.eval()(x) is x
    assert repr(layer) == "NoiseInjection(mean=0.5, scale=1.25, mean_spread=0.1, scale_spread=0.1)"


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"mean": -1}, ValueError),
        ({"scale": 0.9}, ValueError),
        ({"scale": np.nan}, ValueError),
        ({"mean_spread": np.inf}, ValueError),
        ({"scale_spread": "a"}, TypeError),
        ({"mean": True}, TypeError),
    ],
)
def test_noise_refuses_odd_arguments(options, error):
    with pytest.raises(error, match=f"NoiseInjection: {next(iter(options))} must be"):
        nn.NoiseInjection(**options)


@pytest.mark.parametrize("training", [True, False])
def test_noise_needs_channels(training):
    with pytest.raises(ValueError, match=r"NoiseInjection: expected an input \(N, C\)"):
        nn.NoiseInjection().train(training)(minigrad.zeros(3))
