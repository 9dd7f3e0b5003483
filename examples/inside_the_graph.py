"""Why batch normalisation must be differentiated, and what its gamma, beta and eps do.

Four small facts, each measured on random numbers in float64:
1. A mean that is subtracted but not differentiated (outside the graph) lets a bias grow for ever
   while the loss stays where it is. Differentiated, the bias has no gradient and stays.
2. Normalised inputs confine a sigmoid to its nearly linear part; gamma leads out of it. With
   gamma = √(var + eps) and beta = mean, batch normalisation is the identity.
3. BN(aWx) = BN(Wx): the scale of the weights does not matter, exactly for eps = 0, but not once
   a²·var falls to the size of eps.
4. The larger the weights, the smaller their gradient: ∂L/∂(aW) = (1/a)·∂L/∂W.

    python examples/inside_the_graph.py [--quick] [--seeds N] [--out DIR]

needs no data set and writes DIR/inside_the_graph.png and .json.
"""

import numpy as np
from matplotlib.figure import Figure

import minigrad as mg
from minigrad import nn
from minigrad.nn import functional as F
from support import COLOURS, finish, parse_experiment, run_all, summarise

SAMPLES = 100
STEPS = 1000
RATE = 0.1
GAMMAS = (0.5, 1.0, 2.0, 4.0, 8.0)
SCALES = tuple(10.0 ** np.arange(-4, 4.1, 0.5))
EPS = 1e-5


def growing_bias(seed: int, differentiated: bool) -> dict[str, list[float]]:
    """Learn b in x̂ = (u + b) - mean(u + b), with the loss mean((x̂ - 1)²), by gradient descent."""
    mg.manual_seed(seed)
    u = mg.randn(SAMPLES, dtype=mg.float64)
    b = mg.zeros(1, dtype=mg.float64, requires_grad=True)
    optimizer = mg.optim.SGD([b], lr=RATE)
    biases, losses = [], []
    for _ in range(STEPS + 1):
        x = u + b
        mean = x.mean() if differentiated else x.mean().detach()
        loss = ((x - mean - 1) ** 2).mean()
        biases.append(b.item())
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return {"bias": biases, "loss": losses}


def sigmoid_curvature(seed: int) -> dict[str, list[float] | float]:
    """The share of sigmoid(gamma·x̂)'s variance that no straight line explains, for each gamma."""
    mg.manual_seed(seed)
    layer = nn.BatchNorm1d(1, dtype=mg.float64)
    x = 3 + 2 * mg.randn(10 * SAMPLES, 1, dtype=mg.float64)
    shares = []
    for gamma in GAMMAS:
        nn.init.constant_(layer.weight, gamma)
        x_hat = layer(x).detach().numpy()[:, 0] / gamma
        out = F.sigmoid(layer(x)).detach().numpy()[:, 0]
        shares.append(1 - np.corrcoef(x_hat, out)[0, 1] ** 2)
    mean, var = x.mean(), x.var(correction=0)
    y = F.batch_norm(
        x, None, None, (var + EPS).sqrt().reshape(1), mean.reshape(1), training=True, eps=EPS
    )
    return {"beyond linear": shares, "identity error": (y - x).abs().max().item()}


def scale_invariance(seed: int) -> dict[str, list[float]]:
    """|BN(aWx) - BN(Wx)|, and ‖∂L/∂(aW)‖/‖∂L/∂W‖, for each a, with eps = 0 and eps = 1e-5."""
    rows = {}
    for eps in (0.0, EPS):
        mg.manual_seed(seed)
        x = mg.randn(SAMPLES, 5, dtype=mg.float64)
        w = mg.randn(4, 5, dtype=mg.float64)
        cotangent = mg.randn(SAMPLES, 4, dtype=mg.float64)

        def normalised(a, eps=eps, x=x, w=w, cotangent=cotangent):
            weight = (a * w).requires_grad_()
            y = F.batch_norm(F.linear(x, weight), None, None, training=True, eps=eps)
            (y * cotangent).sum().backward()
            return y.detach().numpy(), np.linalg.norm(weight.grad.numpy())

        y, length = normalised(1.0)
        others = [normalised(a) for a in SCALES]
        rows[f"error, eps={eps:g}"] = [float(np.abs(z - y).max()) for z, _ in others]
        rows[f"gradient, eps={eps:g}"] = [float(other / length) for _, other in others]
    return rows


def draw(outside: list, inside: list, curvature: list, invariance: list) -> Figure:
    figure = Figure(figsize=(13, 9), layout="constrained")
    figure.suptitle(
        f"A mean outside the graph lets the bias grow to {outside[0]['bias'][-1]:.0f} "
        f"(inside: {abs(inside[0]['bias'][-1]):.0f}),\nand the loss does not notice"
    )
    axes = figure.subplot_mosaic(
        [["bias", "sigmoid"], ["loss", "sigmoid"], ["scale", "gradient"]], height_ratios=[2, 1, 3]
    )
    draw_bias(axes["bias"], axes["loss"], outside, inside)
    draw_sigmoid(axes["sigmoid"], curvature)
    draw_scale(axes["scale"], invariance)
    draw_gradient(axes["gradient"], invariance)
    return figure


def draw_bias(above, below, outside: list, inside: list) -> None:
    for runs, colour, text in ((outside, "orange", "outside"), (inside, "blue", "inside")):
        for i, run in enumerate(runs):
            label = f"mean {text} the graph" if i == 0 else None
            above.plot(run["bias"], color=COLOURS[colour], label=label)
            dashes = (0, (6, 6)) if text == "outside" else (6, (6, 6))  # they lie on one another
            below.plot(run["loss"], color=COLOURS[colour], linestyle=dashes)
    above.set_title("Outside the graph the bias grows, the loss stays")
    above.set_ylabel("bias b")
    above.tick_params(labelbottom=False)
    above.legend()
    below.set_xlabel(f"steps of gradient descent, lr {RATE} (one line a seed)")
    below.set_ylabel("loss")
    below.set_ylim(0, 3)


def draw_sigmoid(axes, curvature: list) -> None:
    x = np.linspace(-8, 8, 400)
    axes.plot(x, 1 / (1 + np.exp(-x)), color=COLOURS["black"])
    axes.plot(x, 0.5 + x / 4, color=COLOURS["grey"], linestyle=":", label="its tangent at 0")
    axes.set_ylim(-0.05, 1.5)
    shares = 100 * np.array([r["beyond linear"] for r in curvature]).mean(axis=0)
    for i, (gamma, share) in enumerate(zip(GAMMAS[:4], shares[:4], strict=True)):
        height = 1.08 + 0.1 * i
        axes.plot([-2 * gamma, 2 * gamma], [height] * 2, linewidth=6, solid_capstyle="butt")
        axes.text(
            -20, height, f"γ = {gamma:g}: {share:.1f} % not linear", va="center", fontsize=9.5
        )
    axes.set_xlim(-20.5, 8.5)
    axes.set_xticks(range(-8, 9, 4))
    axes.set_title("Normalised inputs (γ = 1): nearly straight")
    axes.set_xlabel("γ·x̂, with β = 0; bars: 95 % of the inputs")
    axes.set_ylabel("sigmoid")
    axes.legend(loc="lower right")


def draw_scale(axes, invariance: list) -> None:
    others = [i for i, a in enumerate(SCALES) if abs(a - 1) > 1e-9]  # a = 1 is the reference
    for eps, colour in ((EPS, "orange"), (0.0, "blue")):
        for i, run in enumerate(invariance):
            errors = [run[f"error, eps={eps:g}"][k] for k in others]
            label = f"eps = {eps:g}" if i == 0 else None
            axes.loglog(
                [SCALES[k] for k in others], errors, "o-", color=COLOURS[colour], alpha=0.6,
                label=label,
            )  # fmt: skip
    axes.set_title("BN(aWx) = BN(Wx), with eps if a²·var is far above")
    axes.set_xlabel("scale a of the weights (a = 1 is the reference: its error is 0)")
    axes.set_ylabel("max |BN(aWx) - BN(Wx)|")
    axes.legend(loc="center right")


def draw_gradient(axes, invariance: list) -> None:
    for eps, colour in ((0.0, "blue"), (EPS, "orange")):
        for i, run in enumerate(invariance):
            label = f"eps = {eps:g}" if i == 0 else None
            ratio = run[f"gradient, eps={eps:g}"]
            axes.loglog(SCALES, ratio, marker="o", color=COLOURS[colour], alpha=0.6, label=label)
    axes.loglog(SCALES, 1 / np.array(SCALES), ":", color=COLOURS["black"], label="1/a")
    axes.set_title("Larger weights get smaller gradients")
    axes.set_xlabel("scale a of the weights")
    axes.set_ylabel("‖∂L/∂(aW)‖ / ‖∂L/∂W‖")
    axes.legend()


def main() -> None:
    flags = parse_experiment(__doc__, seeds=5, quick_seeds=3)
    seeds = [{"seed": seed} for seed in range(flags.seeds)]
    outside = run_all(flags, growing_bias, [{**s, "differentiated": False} for s in seeds])
    inside = run_all(flags, growing_bias, [{**s, "differentiated": True} for s in seeds])
    curvature = run_all(flags, sigmoid_curvature, seeds)
    invariance = run_all(flags, scale_invariance, seeds)

    small = int(np.argmin(np.abs(np.array(SCALES) - 0.01)))
    per_seed = {
        "bias outside the graph": [r["bias"][-1] for r in outside],
        "loss change outside": [max(r["loss"]) - min(r["loss"]) for r in outside],
        "bias inside the graph": [r["bias"][-1] for r in inside],
        **{
            f"sigmoid beyond linear (%), gamma={gamma:g}": [
                100 * r["beyond linear"][i] for r in curvature
            ]
            for i, gamma in enumerate(GAMMAS)
        },
        "identity error": [r["identity error"] for r in curvature],
        "scale error, eps=0": [max(r["error, eps=0"]) for r in invariance],
        "scale error at a=0.01, eps=1e-05": [r["error, eps=1e-05"][small] for r in invariance],
    }
    s = {name: summarise(values) for name, values in per_seed.items()}
    finding = (
        f"Outside the graph b = {s['bias outside the graph']:.1f} after {STEPS} steps while the "
        f"loss moves by {max(per_seed['loss change outside']):.0e}; inside, |b| stays below "
        f"{max(map(abs, per_seed['bias inside the graph'])):.0e}. Of a sigmoid's output "
        f"{s['sigmoid beyond linear (%), gamma=1']:.1f} % is not linear at gamma 1, "
        f"{s['sigmoid beyond linear (%), gamma=4']:.1f} % at gamma 4. BN(aWx) = BN(Wx) to "
        f"{max(per_seed['scale error, eps=0']):.0e} with eps 0, but with eps 1e-5 the error at "
        f"a = 0.01 is {s['scale error at a=0.01, eps=1e-05']:.2f} (mean ± s.d. over {flags.seeds} "
        "seeds)"
    )
    finish(
        flags,
        draw(outside, inside, curvature, invariance),
        finding,
        settings={"samples": SAMPLES, "steps": STEPS, "lr": RATE, "eps": EPS},
        results=per_seed,
    )


if __name__ == "__main__":
    main()
