"""Style transfer in small: instance normalisation, batch normalisation, none, and a switch.

A network repaints a digit in the style of a texture in one forward pass. It is trained on two
losses measured in the features of another network, which was trained here before to tell digits and
textures apart: the content loss compares the features at every place, the style loss their Gram
matrices, which know how often features occur together, but not where. The digits differ in
contrast, which no style asks for.

1. One network a style, with each normalisation: the losses on new digits, and what one sees.
2. One network for all the styles, in which only gamma and beta depend on the style's number
   (conditional normalisation): it switches between styles by an index.

    python examples/style.py [--quick] [--data PATH] [--seeds N] [--out DIR]

writes DIR/style.png and DIR/style.json. Ten minutes; --quick takes twenty seconds.

Sources: Gatys and others, Image style transfer using convolutional neural networks, 2016; Ulyanov
and others, Instance normalization, 2016; Dumoulin and others, A learned representation for artistic
style, 2017.
"""

from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
from matplotlib.figure import Figure

import minigrad as mg
from minigrad import nn, optim
from minigrad.nn import functional as F
from support import COLOURS, finish, load_mnist, parse_experiment, run_all, summarise

SIDE = 28
CHANNELS = 16  # of the network that paints
NOISE = 3  # channels
BATCH = 4
RATES = [0.002, 0.005]  # of Adam
NORMS = {"none": "grey", "BN": "blue", "IN": "orange"}
FAINT = 0.2  # the least contrast
CONTRASTS = (1.0, 0.5, FAINT)  # of the digits that are shown


def textures() -> dict[str, np.ndarray]:
    """Four pictures (3, 56, 56) in [0, 1]."""
    y, x = np.mgrid[:56, :56] / 1.0
    rng = np.random.default_rng(0)
    noise = np.fft.fft2(rng.standard_normal((56, 56)))
    fy, fx = np.meshgrid(np.fft.fftfreq(56), np.fft.fftfreq(56), indexing="ij")
    cloud = np.fft.ifft2(noise * np.exp(-((fx * 8) ** 2) - (fy * 30) ** 2)).real
    masks = {
        "waves": 0.5 + 0.5 * np.sin((x + y) * np.pi / 5),
        "checks": ((x // 4 + y // 4) % 2),
        "dots": (((x % 8) - 3.5) ** 2 + ((y % 8) - 3.5) ** 2 < 7).astype(float),
        "threads": 1 / (1 + np.exp(-3 * cloud / cloud.std())),
    }
    inks = {
        "waves": ((0.05, 0.25, 0.6), (0.8, 0.95, 1.0)),
        "checks": ((0.75, 0.1, 0.1), (1.0, 0.85, 0.2)),
        "dots": ((0.1, 0.4, 0.25), (1.0, 0.95, 0.7)),
        "threads": ((0.3, 0.1, 0.4), (1.0, 0.6, 0.3)),
    }
    return {
        name: np.stack([(1 - m) * a + m * b for a, b in zip(*inks[name], strict=True)]).astype("f")
        for name, m in masks.items()
    }


STYLES = list(textures())


def grey(digits: np.ndarray, contrast: np.ndarray | float) -> np.ndarray:
    """Digits (N, 1, 28, 28) as pictures (N, 3, 28, 28) around one half."""
    picture = 0.5 + np.reshape(contrast, (-1, 1, 1, 1)) * (digits - 0.5)
    return np.repeat(picture, 3, axis=1).astype(np.float32)


class Critic(nn.Module):
    """Which digit, and which texture around it; its features are what the losses compare."""

    def __init__(self) -> None:
        super().__init__()
        self.convs = nn.ModuleList(
            [nn.Conv2d(3, 16, 3, padding=1), nn.Conv2d(16, 32, 3, 2, 1), nn.Conv2d(32, 32, 3, 2, 1)]
        )
        self.digit = nn.Linear(32 * 7 * 7, 10)
        self.texture = nn.Linear(32, len(STYLES))

    def features(self, x: mg.Tensor) -> list[mg.Tensor]:
        found, x = [], 4 * (x - 0.5)
        for conv in self.convs:
            x = conv(x).relu()
            found.append(x)
        return found

    def forward(self, x: mg.Tensor) -> tuple[mg.Tensor, mg.Tensor]:
        last = self.features(x)[-1]
        return self.digit(last.flatten(1)), self.texture(last.mean(dim=(2, 3)))


def gram(features: mg.Tensor) -> mg.Tensor:
    """(N, C, H, W) -> (N, C, C): mean products of two channels at one place."""
    flat = features.flatten(2)
    return flat @ flat.transpose(1, 2) / flat.shape[2]


def train_critic(digits: np.ndarray, labels: np.ndarray, seed: int, updates: int) -> Critic:
    """A critic that has seen digits in any colour on cuttings of the textures."""
    rng = np.random.default_rng(seed)
    mg.manual_seed(seed)
    critic, pictures = Critic(), np.stack(list(textures().values()))
    optimizer = optim.Adam(critic.parameters(), lr=0.003)
    for _ in range(updates):
        some, kinds = rng.integers(0, len(digits), 32), rng.integers(0, len(STYLES), 32)
        corners = rng.integers(0, 56 - SIDE, (32, 2))
        cut = np.stack([
            pictures[k, :, a : a + SIDE, b : b + SIDE]
            for k, (a, b) in zip(kinds, corners, strict=True)
        ])  # fmt: skip
        ink = rng.random((32, 3, 1, 1), dtype=np.float32)
        x = mg.from_numpy(cut + digits[some] * (ink - cut))
        digit, texture = critic(x)
        loss = F.cross_entropy(digit, mg.from_numpy(labels[some])) + F.cross_entropy(
            texture, mg.from_numpy(kinds)
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return critic.requires_grad_(False)


class Conditional(nn.Module):
    """Normalise (N, C, H, W) or not, then one gamma and beta per channel and style."""

    def __init__(self, norm: str, channels: int, styles: int) -> None:
        super().__init__()
        kinds = {"none": nn.Identity, "BN": nn.BatchNorm2d, "IN": nn.InstanceNorm2d}
        options = {} if norm == "none" else {"affine": False}
        self.norm = kinds[norm](*([] if norm == "none" else [channels]), **options)
        self.gamma = nn.Parameter(mg.ones(styles, channels, 1, 1))
        self.beta = nn.Parameter(mg.zeros(styles, channels, 1, 1))

    def forward(self, x: mg.Tensor, style: mg.Tensor) -> mg.Tensor:
        return self.norm(x) * self.gamma[style] + self.beta[style]


class Painter(nn.Module):
    """(N, 3, H, W) and the styles' numbers (N,) give pictures (N, 3, H, W) in [0, 1].

    Noise comes in beside the picture, and in an even area tells where something may begin.
    """

    def __init__(self, norm: str, styles: int) -> None:
        super().__init__()
        sizes = [3 + NOISE, CHANNELS, 2 * CHANNELS, 2 * CHANNELS, 2 * CHANNELS, CHANNELS, 3]
        # reflected: a border of zeros would be a place to paint by
        self.convs = nn.ModuleList(
            nn.Conv2d(a, b, 3, 1 + (i == 1), padding=1, padding_mode="reflect")
            for i, (a, b) in enumerate(pairwise(sizes))
        )
        self.norms = nn.ModuleList(Conditional(norm, size, styles) for size in sizes[1:-1])
        conv: Any
        for conv in self.convs:
            nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")

    def forward(self, x: mg.Tensor, style: mg.Tensor) -> mg.Tensor:
        n, _, height, width = x.shape
        x = mg.cat([x, 0.3 * mg.randn(n, NOISE, height, width)], dim=1)
        *hidden, last = self.convs
        for i, (conv, norm) in enumerate(zip(hidden, self.norms, strict=True)):
            y = norm(conv(x), style).relu()
            x = x + y if i in (2, 3) else y
            if i == 3:
                x = F.interpolate(x, scale_factor=2)
        return last(x).sigmoid()


class Goal:
    """The two losses in the critic's features, in units that can be read.

    Style 1 is an even picture in the mean colour of the style, content 1 one of which nothing of a
    digit in full contrast is left.
    """

    def __init__(self, critic: Critic, styles: list[str], digits: np.ndarray) -> None:
        self.critic = critic
        pictures = textures()
        chosen = np.stack([pictures[name] for name in styles])
        even = np.broadcast_to(chosen.mean(axis=(2, 3), keepdims=True), chosen.shape).copy()
        self.grams, flat = ([gram(f) for f in self.features(part)] for part in (chosen, even))
        self.units = [((a - b) ** 2).sum(dim=(1, 2)) for a, b in zip(self.grams, flat, strict=True)]
        strong, none = (self.features(grey(digits, contrast))[1] for contrast in (1.0, 0.0))
        self.unit = ((strong - none) ** 2).mean()

    def features(self, pictures: np.ndarray) -> list[mg.Tensor]:
        with mg.no_grad():
            return self.critic.features(mg.from_numpy(pictures))

    def style(self, features: list[mg.Tensor], style: mg.Tensor) -> mg.Tensor:
        """The mean over the layers of ‖G - G of the style‖², (N,)."""
        losses = [
            ((gram(f) - g[style]) ** 2).sum(dim=(1, 2)) / unit[style]
            for f, g, unit in zip(features, self.grams, self.units, strict=True)
        ]
        return mg.stack(losses).mean(dim=0)

    def content(self, features: list[mg.Tensor], pictures: np.ndarray) -> mg.Tensor:
        """‖f - f of the content‖² in the second layer, (N,)."""
        return ((features[1] - self.features(pictures)[1]) ** 2).mean(dim=(1, 2, 3)) / self.unit


def train_painter(
    goal: Goal, digits: np.ndarray, norm: str, rate: float, seed: int, updates: int
) -> Painter:
    rng, styles = np.random.default_rng(seed), len(goal.grams[0])
    mg.manual_seed(seed)
    painter = Painter(norm, styles)
    optimizer = optim.Adam(painter.parameters(), lr=rate)
    for _ in range(updates):
        some = digits[rng.integers(0, len(digits), BATCH)]
        pictures = grey(some, rng.uniform(FAINT, 1, BATCH))
        style = mg.from_numpy(rng.integers(0, styles, BATCH))
        features = goal.critic.features(painter(mg.from_numpy(pictures), style))
        losses = goal.content(features, pictures) + goal.style(features, style)
        optimizer.zero_grad()
        losses.mean().backward()
        optimizer.step()
    return painter.eval()


def paint(painter: Painter, pictures: np.ndarray, style: int) -> np.ndarray:
    with mg.no_grad():
        return painter(mg.from_numpy(pictures), mg.full((len(pictures),), style)).numpy()


def likeness(painted: np.ndarray, digits: np.ndarray) -> float:
    """|correlation| of the painted brightness with the digit, mean over the pictures; 0 for an
    even picture."""
    a, b = (x.mean(axis=1).reshape(len(x), -1) for x in (painted, digits))
    a, b = (x - x.mean(axis=1, keepdims=True) for x in (a, b))
    sizes = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    return float(np.mean(np.abs((a * b).sum(axis=1)) / np.maximum(sizes, 1e-12)))


def measure(goal: Goal, painter: Painter, digits: np.ndarray, style: int) -> dict[str, float]:
    """Both losses on digits of all contrasts, and what one sees of the faint ones."""
    contrasts = np.linspace(FAINT, 1, len(digits))
    number = mg.full((len(digits),), style)
    found = {}
    both: dict[str, Any] = {"": contrasts, ", faint": FAINT}
    for name, contrast in both.items():
        pictures = grey(digits, contrast)
        painted = paint(painter, pictures, style)
        features = goal.features(painted)
        found[f"style{name}"] = goal.style(features, number).mean().item()
        found[f"content{name}"] = goal.content(features, pictures).mean().item()
        found[f"likeness{name}"] = likeness(painted, digits)
    return found


def eight_bit(pictures: np.ndarray) -> np.ndarray:
    """(N, 3, H, W) in [0, 1] as (N, H, W, 3) of bytes, for a figure."""
    return (255 * pictures).round().astype(np.uint8).transpose(0, 2, 3, 1)


def one_style(
    critic: Critic, data, norm: str, style: str, rate: float, seed: int, updates: int
) -> dict[str, Any]:
    """The losses of a network for one style, and the first digit as it paints it."""
    digits, unseen = data
    goal = Goal(critic, [style], digits[:200])
    painter = train_painter(goal, digits, norm, rate, seed, updates)
    shown = grey(np.repeat(unseen[:1], len(CONTRASTS), axis=0), np.array(CONTRASTS))
    return {
        **measure(goal, painter, unseen, 0),
        "pictures": eight_bit(paint(painter, shown, 0)) if seed == 0 else None,
    }


def all_styles(
    critic: Critic, data, norm: str, rate: float, seed: int, updates: int
) -> dict[str, Any]:
    """A network for all styles: the style losses [index][style], and two digits in each style."""
    digits, unseen = data
    goal = Goal(critic, STYLES, digits[:200])
    painter = train_painter(goal, digits, norm, rate, seed, updates)
    indices = range(len(STYLES))
    contrasts = np.linspace(FAINT, 1, len(unseen))
    losses = np.zeros((len(STYLES), len(STYLES)))
    for index in indices:
        features = goal.features(paint(painter, grey(unseen, contrasts), index))
        for other in indices:
            number = mg.full((len(unseen),), other)
            losses[index, other] = goal.style(features, number).mean().item()
    shown = grey(unseen[1:3], np.array([1.0, FAINT]))
    return {
        "losses": losses,
        "pictures": [eight_bit(paint(painter, shown, i)) for i in indices] if seed == 0 else None,
    }


def at_best_rate(runs: dict[float, list[dict]]) -> list[dict]:
    """The runs, one a seed, at the rate with the least mean of style and content loss together."""
    return min(runs.values(), key=lambda r: np.mean([x["style"] + x["content"] for x in r]))


def bare(axes, title: str = "", label: str = "") -> None:
    axes.set(xticks=[], yticks=[])
    axes.grid(False)
    axes.spines[:].set_visible(False)
    axes.set_title(title, loc="center", fontsize=11)
    axes.set_ylabel(label, fontsize=10)


def draw_painted(figure, content: np.ndarray, best: dict[tuple[str, str], list[dict]]) -> None:
    """A row a contrast; a column for the digit and for each style and normalisation."""
    grid = figure.subplots(len(CONTRASTS), 1 + len(best), squeeze=False)
    for row, (axes, contrast) in enumerate(zip(grid, CONTRASTS, strict=True)):
        axes[0].imshow(eight_bit(grey(content[None], contrast))[0])
        bare(axes[0], "" if row else "digit", f"contrast\n{contrast:g}")
        for cell, ((style, norm), runs) in zip(axes[1:], best.items(), strict=True):
            cell.imshow(np.array(runs[0]["pictures"][row], np.uint8))
            bare(cell, "" if row else f"{style},\n{norm}")


def draw_losses(axes, best: dict[tuple[str, str], list[dict]], key: str, label: str) -> None:
    for i, ((_, norm), runs) in enumerate(best.items()):
        s = summarise(run[key] for run in runs)
        reach = [[s.mean - s.low], [s.high - s.mean]] if s.n > 1 else None
        axes.errorbar(i, s.mean, reach, fmt="o", color=COLOURS[NORMS[norm]], ms=6, capsize=4)
    axes.set_xticks(range(len(best)), [norm for _, norm in best])
    axes.set(xlim=(-0.5, len(best) - 0.5), ylim=(0, None))
    axes.set_title(label)


def draw_switch(figure, contents: np.ndarray, run: dict) -> None:
    """Above the styles, below two digits painted by one network with each index."""
    grid = figure.subplots(3, 1 + len(STYLES))
    pictures = textures()
    grid[0, 0].set_axis_off()
    for row, contrast in enumerate((1.0, FAINT), 1):
        grid[row, 0].imshow(eight_bit(grey(contents[row - 1][None], contrast))[0])
        bare(grid[row, 0], "", f"contrast\n{contrast:g}")
    for i, style in enumerate(STYLES):
        grid[0, 1 + i].imshow(pictures[style][:, :SIDE, :SIDE].transpose(1, 2, 0))
        bare(grid[0, 1 + i], style)
        for row in (1, 2):
            grid[row, 1 + i].imshow(np.array(run["pictures"][i][row - 1], np.uint8))
            bare(grid[row, 1 + i], f"index {i}" if row == 1 else "")


def draw_matrix(axes, losses: np.ndarray) -> None:
    """Style losses (index, style), means over the seeds."""
    axes.imshow(np.log(losses), cmap="cividis")
    axes.grid(False)
    bright = np.log(losses) > np.log(losses).mean()
    for (i, j), loss in np.ndenumerate(losses):
        colour = COLOURS["black"] if bright[i, j] else "white"
        axes.text(j, i, f"{loss:.2g}", ha="center", va="center", color=colour)
    axes.set_xticks(range(len(STYLES)), STYLES, rotation=30)
    axes.set_yticks(range(len(STYLES)))
    axes.set(xlabel="measured against", ylabel="index")


def main() -> None:
    flags = parse_experiment(__doc__, seeds=5, quick_seeds=2)
    mg.set_num_threads(1)
    seeds = range(flags.seeds)
    styles = ["dots"]
    critic_updates, updates, switch_updates = (30, 25, 90) if flags.quick else (150, 150, 300)
    rates = RATES[1:] if flags.quick else RATES
    norms = ["IN"]

    @cache
    def digits() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """5,000 for training with their labels, 100 new ones."""
        (x, y), (x_test, _) = load_mnist(flags)
        some = np.random.default_rng(0).permutation(len(x))[:5000]
        return x[some], y[some], x_test[:100]

    @cache
    def critic(seed: int, length: int) -> Critic:
        return train_critic(*digits()[:2], seed, length)

    def repaint(critic_updates: int, **configuration) -> dict:
        x, _, unseen = digits()
        return one_style(
            critic(configuration["seed"], critic_updates), (x, unseen), **configuration
        )

    def switch(critic_updates: int, **configuration) -> dict:
        x, _, unseen = digits()
        return all_styles(
            critic(configuration["seed"], critic_updates), (x, unseen), **configuration
        )

    same = {"critic_updates": critic_updates, "updates": updates}
    jobs = [
        {"style": style, "norm": norm, "rate": rate, "seed": seed, **same}
        for style in styles for norm in NORMS for rate in rates for seed in seeds
    ]  # fmt: skip
    shaped = np.reshape(
        np.array(run_all(flags, repaint, jobs), dtype=object), (-1, len(rates), flags.seeds)
    )
    pairs = [(style, norm) for style in styles for norm in NORMS]
    runs = {
        pair: dict(zip(rates, by_rate.tolist(), strict=True))
        for pair, by_rate in zip(pairs, shaped, strict=True)
    }
    best = {pair: at_best_rate(by_rate) for pair, by_rate in runs.items()}
    same["updates"] = switch_updates
    jobs = [{"norm": n, "rate": RATES[1], "seed": s, **same} for n in norms for s in seeds]
    results = run_all(flags, switch, jobs)
    switches = {
        norm: results[i * flags.seeds : (i + 1) * flags.seeds] for i, norm in enumerate(norms)
    }

    def over_styles(norm: str, key: str) -> np.ndarray:
        """The mean over the styles, one number a seed."""
        return np.mean([[run[key] for run in best[style, norm]] for style in styles], axis=0)

    keys = ("style", "content", "style, faint", "likeness, faint")
    minus = {
        other: {key: summarise(over_styles("IN", key) - over_styles(other, key)) for key in keys}
        for other in ("none", "BN")
    }
    matrices = {norm: np.array([r["losses"] for r in rs]) for norm, rs in switches.items()}
    own = {
        norm: summarise(np.diagonal(m, axis1=1, axis2=2).mean(axis=1))
        for norm, m in matrices.items()
    }
    right = int((matrices["IN"].argmin(axis=2) == np.arange(len(STYLES))).sum())
    asked = matrices["IN"].shape[0] * len(STYLES)

    figure = Figure(figsize=(10, 9.6), layout="constrained")
    style, faint = minus["BN"]["style"], minus["BN"]["likeness, faint"]
    title = (
        f"Instance norm minus batch norm: style loss {style.interval('+.3f')},\n"
        f"likeness of the faintest digits {faint.interval('+.2f')}; conditional instance norm\n"
        f"paints the style that its index asks for in {right} of {asked} cases"
    )
    figure.suptitle(title, fontsize=13)
    above, middle, below = np.asarray(figure.subfigures(3, 1, height_ratios=[1.15, 0.85, 1.15]))
    draw_painted(above, digits()[2][0], best)
    for axes, (key, label) in zip(
        middle.subplots(1, 3),
        {
            "style": "style loss, all contrasts",
            "content": "content loss, all contrasts",
            "likeness, faint": f"likeness at contrast {FAINT:g}",
        }.items(),
        strict=True,
    ):
        draw_losses(axes, best, key, label)
    pictures, matrix = below.subfigures(1, 2, width_ratios=[1.7, 1])
    draw_switch(pictures, digits()[2][1:3], switches["IN"][0])
    axes = matrix.subplots()
    draw_matrix(axes, matrices["IN"].mean(axis=0))
    axes.set_title("style loss by index")

    finding = (
        "Style loss (1: an even picture in the style's mean colour), each at its best rate: "
        + ", ".join(f"{norm} {summarise(over_styles(norm, 'style')):.3f}" for norm in NORMS)
        + "; content loss "
        + ", ".join(f"{norm} {summarise(over_styles(norm, 'content')):.2f}" for norm in NORMS)
        + ". "
        + "; ".join(
            f"IN minus {other}: style {m['style'].interval('+.3f')}, content "
            f"{m['content'].interval('+.3f')}, at contrast {FAINT:g} style "
            f"{m['style, faint'].interval('+.3f')} and likeness to the digit "
            f"{m['likeness, faint'].interval('+.2f')}"
            for other, m in minus.items()
        )
        + f". One network for {len(STYLES)} styles: own style loss "
        + ", ".join(f"{norm} {s:.3f}" for norm, s in own.items())
        + f"; with IN the index decides the style in {right} of {asked} cases (95 % intervals of "
        f"paired differences, {flags.repeats})."
    )
    finish(
        flags, figure, finding,
        settings={"rates": rates, "batch": BATCH, "updates": [updates, switch_updates]},
        results={
            "one style": {
                f"{style}, {norm}, lr {rate}": [
                    {key: value for key, value in run.items() if key != "pictures"} for run in rs
                ]
                for (style, norm), by_rate in runs.items() for rate, rs in by_rate.items()
            },
            "all styles": matrices,
        },
        in_minus={other: {k: s._asdict() for k, s in m.items()} for other, m in minus.items()},
        right=[right, asked],
    )  # fmt: skip


if __name__ == "__main__":
    main()
