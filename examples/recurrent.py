"""Layer and batch normalisation in recurrent networks.

Images of MNIST are read row by row, in 28 steps, by an Elman network, an LSTM and a GRU, which are
written out here with normalisation inside the cell: none, layer normalisation, and batch
normalisation with statistics of every time step. Those can be pooled over the steps after the
training; in the training they cannot be shared, since the later states do not exist yet. The cells
of one seed start with the same weights and see the same batches.

1. Learning curves of the three cells; for half the time, two other learning rates.
2. The gradient of the loss with respect to the state after each step, before any training.
3. The Elman network in batches of 32, 8 and 2 images, as many updates of each.
4. A second task: an LSTM reads the docstrings of minigrad and predicts the next character.

    python examples/recurrent.py [--quick] [--data PATH] [--seeds N] [--out DIR]

writes DIR/recurrent.png and DIR/recurrent.json. A quarter of an hour; --quick takes seconds.

Sources: Ba, Kiros and Hinton, Layer normalization, 2016, equation 4 and the supplement; Cooijmans
and others, Recurrent batch normalization, 2016, equations 6 to 8.
"""

import argparse
import ast
import hashlib
from collections import Counter
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

import minigrad as mg
from minigrad import nn, optim
from minigrad.data import DataLoader, TensorDataset
from minigrad.nn import functional as F
from support import COLOURS, Summary, finish, load_mnist, parse_experiment, run_all, summarise

CELLS = {"RNN": 1, "LSTM": 4, "GRU": 3}  # blocks of weights
NORMS = ["none", "LN", "BN"]  # that are trained
LOOK = {
    "none": {"color": COLOURS["black"], "marker": "o"},
    "LN": {"color": COLOURS["pink"], "marker": "s"},
    "BN per step": {"color": COLOURS["blue"], "marker": "^"},
    "BN pooled": {"color": COLOURS["yellow"], "marker": "v", "linestyle": "--"},
}
STEPS = 28
SIZE = 32  # of the state
RATE = 0.005  # of Adam
RATES = [0.001, RATE, 0.025]
BATCHES = [32, 8, 2]
EVERY = 20  # updates between two tests
UPDATES = {"RNN": 400, "LSTM": 200, "GRU": 200}
LENGTH = 40  # of a piece of text
ALPHABET = 64


class StepNorm(nn.Module):
    """Batch normalisation of (N, size) at step t, by the statistics of the batch at this step.

    gamma starts at 0.1, as Cooijmans and others have it: at 1, tanh would be saturated. The
    statistics for evaluation are those of the latest batch that came with ``collecting``; with
    ``pooled`` they are the mean and the variance over all steps together.
    """

    mean: mg.Tensor
    var: mg.Tensor

    def __init__(self, size: int, steps: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(mg.full((size,), 0.1))
        self.bias = nn.Parameter(mg.zeros(size))
        self.register_buffer("mean", mg.zeros(steps, size))
        self.register_buffer("var", mg.ones(steps, size))
        self.collecting = self.pooled = False

    def forward(self, x: mg.Tensor, t: int) -> mg.Tensor:
        mean, var = self.mean[t], self.var[t]
        if self.collecting:
            return F.batch_norm(x, mean, var, self.weight, self.bias, True, momentum=1.0)
        if self.training:
            return F.batch_norm(x, None, None, self.weight, self.bias, True)
        if self.pooled:
            mean = self.mean.mean(dim=0)
            var = self.var.mean(dim=0) + self.mean.var(dim=0, correction=0)
        return F.batch_norm(x, mean, var, self.weight, self.bias)


class AnyStep(nn.Module):
    """A layer that does the same at every step."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: mg.Tensor, t: int) -> mg.Tensor:
        return self.layer(x)


def normalisation(kind: str, size: int, steps: int) -> nn.Module:
    if kind == "BN":
        return StepNorm(size, steps)
    return AnyStep(nn.LayerNorm(size) if kind == "LN" else nn.Identity())


class Recurrent(nn.Module):
    """States h (N, SIZE) after each step from inputs (T, N, inputs), beginning with h = 0."""

    def __init__(self, cell: str, norm: str, inputs: int, steps: int) -> None:
        super().__init__()
        rows, self.cell = CELLS[cell] * SIZE, cell
        self.weight_ih = nn.Parameter(mg.rand(rows, inputs))
        self.weight_hh = nn.Parameter(mg.rand(rows, SIZE))
        for weight in (self.weight_ih, self.weight_hh):
            nn.init.uniform_(weight, -(SIZE**-0.5), SIZE**-0.5)
        self.bias = nn.Parameter(mg.zeros(rows))
        sizes = {
            "RNN": [SIZE],  # of z
            "LSTM": [rows, rows, SIZE],  # of the input's and the state's part of z, and of c
            "GRU": [2 * SIZE, 2 * SIZE, SIZE, SIZE],  # the two parts for the gates and for n
        }
        self.norms = nn.ModuleList(normalisation(norm, size, steps) for size in sizes[cell])

    def forward(self, x: mg.Tensor) -> list[mg.Tensor]:
        step = {"RNN": self.elman, "LSTM": self.lstm, "GRU": self.gru}[self.cell]
        zero = mg.zeros(x.shape[1], SIZE)
        states, state = [], (zero, zero)
        for t in range(len(x)):
            from_input = F.linear(x[t], self.weight_ih)
            from_state = F.linear(state[0], self.weight_hh)
            state = step(from_input, from_state, *state, t)
            states.append(state[0])
        return states

    def elman(self, a, b, h, c, t: int) -> tuple[mg.Tensor, mg.Tensor]:
        # h = tanh(N(Wx + Uh) + b)
        h = (self.norms[0](a + b, t) + self.bias).tanh()
        return h, c

    def lstm(self, a, b, h, c, t: int) -> tuple[mg.Tensor, mg.Tensor]:
        # i, f, o, z = N(Wx) + N(Uh) + b      c = σ(f)·c + σ(i)·tanh(z)      h = σ(o)·tanh(N(c))
        of_input, of_state, of_cell = self.norms
        gates, z = (of_input(a, t) + of_state(b, t) + self.bias).split([3 * SIZE, SIZE], dim=1)
        i, f, o = gates.sigmoid().chunk(3, dim=1)
        c = f * c + i * z.tanh()
        return o * of_cell(c, t).tanh(), c

    def gru(self, a, b, h, c, t: int) -> tuple[mg.Tensor, mg.Tensor]:
        # r, u = σ(N(Wx) + N(Uh) + b)      n = tanh(N(W'x) + r·N(U'h) + b')      h = n + u·(h - n)
        gates_a, new_a = a.split([2 * SIZE, SIZE], dim=1)
        gates_b, new_b = b.split([2 * SIZE, SIZE], dim=1)
        bias, new_bias = self.bias.split([2 * SIZE, SIZE])
        gates_of_input, gates_of_state, new_of_input, new_of_state = self.norms
        r, u = (
            (gates_of_input(gates_a, t) + gates_of_state(gates_b, t) + bias)
            .sigmoid()
            .chunk(2, dim=1)
        )
        n = (new_of_input(new_a, t) + r * new_of_state(new_b, t) + new_bias).tanh()
        return n + u * (h - n), c


class Reader(nn.Module):
    """Scores of the classes (N, outputs) after the last step, or after every step (T, N, …)."""

    def __init__(self, cell: str, norm: str, inputs: int, steps: int, outputs: int) -> None:
        super().__init__()
        self.layer = Recurrent(cell, norm, inputs, steps)
        self.head = nn.Linear(SIZE, outputs)

    def forward(self, x: mg.Tensor, all_steps: bool = False) -> mg.Tensor:
        states = self.layer(x)
        return self.head(mg.stack(states) if all_steps else states[-1])


def evaluate(model: Reader, norm: str, seen: mg.Tensor, measure: Callable) -> dict[str, float]:
    """What `measure()` finds in evaluation: by the norm's name, for BN with either statistics.

    These are estimated from the inputs `seen`, in one batch.
    """
    steps = [module for module in model.modules() if isinstance(module, StepNorm)]

    def switch(**options: bool) -> None:
        for module in steps:
            vars(module).update(options)

    found = {}
    model.eval()
    with mg.no_grad():
        if norm != "BN":
            found[norm] = float(measure())
        else:
            switch(collecting=True)
            model(seen)
            for rule, pooled in {"BN per step": False, "BN pooled": True}.items():
                switch(collecting=False, pooled=pooled)
                found[rule] = float(measure())
    model.train()
    return found


def train_images(
    data, cell: str, norm: str, rate: float, batch: int, updates: int, every: int, seed: int
) -> list[dict[str, float]]:
    """Train one network; the test error in per cent, every so many updates."""
    (x, y), (x_test, y_test) = data
    seen, unseen = (mg.from_numpy(part).transpose(0, 1) for part in (x, x_test))
    answers = mg.from_numpy(y_test)
    mg.manual_seed(seed)
    model = Reader(cell, norm, STEPS, STEPS, 10)
    optimizer = optim.Adam(model.parameters(), lr=rate)
    loader = DataLoader(TensorDataset(x, y), batch, shuffle=True, seed=seed, drop_last=True)

    def error() -> float:
        return 100 * (model(unseen).argmax(dim=1) != answers).float().mean().item()

    curve = []
    for update, (rows, labels) in zip(range(1, updates + 1), forever(loader), strict=False):
        loss = F.cross_entropy(model(rows.transpose(0, 1)), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if update % every == 0:
            curve.append(evaluate(model, norm, seen, error))
    return curve


def forever(loader: DataLoader):
    while True:
        yield from loader


def gradient_norms(data, cell: str, norm: str, seed: int) -> list[dict[str, float]]:
    """‖dL/dh_t‖ for each step t of a new network, over 100 images."""
    (x, y), _ = data
    mg.manual_seed(seed)
    model = Reader(cell, norm, STEPS, STEPS, 10)
    some = np.random.default_rng(seed).permutation(len(x))[:100]
    states = model.layer(mg.from_numpy(x[some]).transpose(0, 1))
    for h in states:
        h.retain_grad()
    F.cross_entropy(model.head(states[-1]), mg.from_numpy(y[some])).backward()
    return [{norm: float(np.linalg.norm(h.grad.numpy()))} for h in states]


def docstrings() -> tuple[str, str]:
    """The package's docstrings as one text; every tenth is for testing."""
    texts: list[list[str]] = [[], []]
    for file in sorted(Path(mg.__file__).parent.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
                text = ast.get_docstring(node)
                if text:
                    texts[sum(map(len, texts)) % 10 == 9].append(text)
    return "\n\n".join(texts[0]), "\n\n".join(texts[1])


def encoded(text: str, letters: str) -> np.ndarray:
    """The place of each character among the letters; all that are not there share the last."""
    places = {letter: i for i, letter in enumerate(letters)}
    return np.array([places.get(letter, len(letters)) for letter in text])


def train_text(text, norm: str, rate: float, updates: int, every: int, seed: int) -> list[dict]:
    """Train an LSTM on batches of 32 pieces; bits per character of the test text, now and then."""
    letters = "".join(c for c, _ in Counter(text[0]).most_common(ALPHABET - 1))
    seen, unseen = (encoded(part, letters) for part in text)
    one_hot = np.eye(ALPHABET, dtype=np.float32)
    window = np.arange(LENGTH + 1)
    starts = np.linspace(0, len(unseen) - LENGTH - 1, 250).astype(int)
    test = unseen[starts + window[:, None]]  # (LENGTH + 1, 250)
    rng = np.random.default_rng(seed)
    mg.manual_seed(seed)
    model = Reader("LSTM", norm, ALPHABET, LENGTH, ALPHABET)
    optimizer = optim.Adam(model.parameters(), lr=rate)

    def inputs(pieces: np.ndarray) -> mg.Tensor:
        return mg.from_numpy(one_hot[pieces[:-1]])  # (LENGTH, N, ALPHABET)

    def loss(pieces: np.ndarray) -> mg.Tensor:
        logits = model(inputs(pieces), all_steps=True)
        return F.cross_entropy(logits.reshape(-1, ALPHABET), mg.from_numpy(pieces[1:].ravel()))

    curve = []
    for update in range(1, updates + 1):
        pieces = seen[rng.integers(0, len(seen) - LENGTH, 32) + window[:, None]]
        optimizer.zero_grad()
        loss(pieces).backward()
        optimizer.step()
        if update % every == 0:
            some = seen[rng.integers(0, len(seen) - LENGTH, 500) + window[:, None]]
            curve.append(evaluate(model, norm, inputs(some), lambda: loss(test).item() / np.log(2)))
    return curve


def subset(flags: argparse.Namespace) -> tuple:
    """1,000 training and 1,000 test images, 500 of each with --quick; standardised (N, 28, 28)."""
    (x, y), (x_test, y_test) = load_mnist(flags)
    draw, count = np.random.default_rng(0), 500 if flags.quick else 1000
    some, test = (draw.permutation(len(part))[:count] for part in (x, x_test))
    mean, std = x[some].mean(), x[some].std()
    return (
        ((x[some, 0] - mean) / std, y[some]),
        ((x_test[test, 0] - mean) / std, y_test[test]),
    )


Curves = dict[str, np.ndarray]  # (seeds, points) by the name of the normalisation


def run_jobs(flags: argparse.Namespace, function: Callable, jobs: list[dict]) -> list[Curves]:
    """The curves that each job, a setting, gives with every normalisation and seed."""
    work = [{**j, "norm": n, "seed": s} for j in jobs for n in NORMS for s in range(flags.seeds)]
    results, found = run_all(flags, function, work), []
    while results:
        curves: Curves = {}
        for _ in NORMS:
            runs, results = results[: flags.seeds], results[flags.seeds :]
            for name in runs[0][0]:
                curves[name] = np.array([[point[name] for point in run] for run in runs])
        found.append(curves)
    return found


def difference(curves: Curves, name: str, other: str) -> Summary:
    """At the end of the curves, paired by seed."""
    return summarise(curves[name][:, -1] - curves[other][:, -1])


def draw_curves(axes, at: list, curves: Curves) -> None:
    """The means over the seeds, and their 95 % intervals, at the updates `at`."""
    for name, values in curves.items():
        mean, low, high = np.array([summarise(column)[:4] for column in values.T])[:, [0, 2, 3]].T
        axes.plot(at, mean, **LOOK[name], ms=4, label=name)
        axes.fill_between(at, low, high, color=LOOK[name]["color"], alpha=0.15, linewidth=0)
    axes.set_xlabel("update")


def draw_sweep(axes, settings: dict[float, Curves], sign: str) -> None:
    """The last values of the curves, side by side: no interval hides another."""
    for i, (name, look) in enumerate(LOOK.items()):
        ends = [summarise(curves[name][:, -1]) for curves in settings.values()]
        reach = np.array([[s.mean - s.low, s.high - s.mean] for s in ends]).T
        at = np.arange(len(ends)) + 0.13 * (i - 1.5)
        axes.errorbar(at, [s.mean for s in ends], reach, **look, ms=5, capsize=3, lw=1.3)
    axes.set_xticks(range(len(settings)), [f"{value:g}" for value in settings])
    axes.set(xlabel=sign, xlim=(-0.5, len(settings) - 0.5))


def draw_gradients(axes, norms: Curves) -> None:
    """Geometric means over the seeds; what is below the picture's edge may be exactly 0."""
    for norm, values in norms.items():
        mean = 10 ** np.log10(np.maximum(values, 1e-30)).mean(axis=0)
        look = LOOK["BN per step" if norm == "BN" else norm]
        axes.semilogy(range(1, STEPS + 1), mean, color=look["color"], label=norm)
    axes.set_xlabel("step t")


def draw(images: dict, gradients: dict, text: tuple[list[int], dict], title: str) -> Figure:
    """A column a cell: learning curves, gradients, rates; below batch sizes and the text."""
    figure = Figure(figsize=(10, 13), layout="constrained")
    figure.suptitle(title, fontsize=13)
    grid: Any = figure.subplots(4, 3)
    for axes in grid.flat:
        axes.set_axis_off()
    for column, (cell, norms) in enumerate(gradients.items()):
        curves, below, rates = grid[:3, column]
        for axes in grid[:3, column]:
            axes.set_axis_on()
        draw_curves(curves, *images[cell, "curves"])
        curves.set(title=f"{cell}: learning", ylim=(0, 95))
        draw_gradients(below, norms)
        below.set(title=f"{cell}: gradient at the start", ylim=(1e-13, 1e3))
        draw_sweep(rates, images[cell, "rates"], "learning rate")
        rates.set(title=f"{cell}: rates", ylim=(0, 95))
    batches, last, key = grid[3]
    for axes in (batches, last):
        axes.set_axis_on()
    draw_sweep(batches, images["RNN", "batches"], "batch size")
    batches.set(title="RNN: small batches", ylim=(0, 100))
    draw_curves(last, *text)
    last.set(title="LSTM: a text", ylabel="bits per character")
    for axes in (grid[0, 0], grid[2, 0], batches):
        axes.set_ylabel("test error (%)")
    grid[1, 0].set_ylabel("‖dL/dh‖ after step t")
    handles, labels = grid[0, 0].get_legend_handles_labels()
    key.legend(
        handles, labels, loc="center", title="normalisation in the cell\n(shaded, bars: 95 %)"
    )
    return figure


def main() -> None:
    flags = parse_experiment(__doc__, seeds=5, quick_seeds=2)
    mg.set_num_threads(1)
    data, text = cache(lambda: subset(flags)), cache(docstrings)
    lengths = {"RNN": 60} if flags.quick else UPDATES
    cells = list(lengths)

    def read_images(**configuration) -> list[dict]:
        return train_images(data(), **configuration)

    def backwards(**configuration) -> list[dict]:
        return gradient_norms(data(), **configuration)

    def read_text(digest: str, **configuration) -> list[dict]:
        return train_text(text(), **configuration)

    def job(cell: str, share: int = 1, rate: float = RATE, batch: int = BATCHES[0]) -> dict:
        updates = lengths[cell] // share
        return {"cell": cell, "rate": rate, "batch": batch, "updates": updates, "every": EVERY}

    jobs = [job(cell) for cell in cells]
    jobs += [job(cell, 2, rate) for cell in cells for rate in RATES if rate != RATE]
    jobs += [job("RNN", batch=batch) for batch in BATCHES[1:] if not flags.quick or batch == 2]
    found = list(zip(jobs, run_jobs(flags, read_images, jobs), strict=True))

    def select(cell: str, key: str, share: int = 1) -> dict[Any, Curves]:
        """The curves by rate or by batch size, nothing else changed."""
        points, wanted = lengths[cell] // share // EVERY, job(cell)
        return {
            j[key]: {name: values[:, :points] for name, values in curves.items()}
            for j, curves in sorted(found, key=lambda item: item[0][key])
            if all(j[k] == wanted[k] for k in wanted if k not in (key, "updates"))
            and j["updates"] >= lengths[cell] // share
        }

    curves = {cell: select(cell, "rate")[RATE] for cell in cells}
    gradients = dict(
        zip(cells, run_jobs(flags, backwards, [{"cell": c} for c in cells]), strict=True)
    )
    # Another text has other results.
    digest = hashlib.sha256("".join(text()).encode()).hexdigest()[:16]
    updates, every = (8, 4) if flags.quick else (120, 12)
    (bits,) = run_jobs(
        flags, read_text, [{"digest": digest, "rate": RATE, "updates": updates, "every": every}]
    )
    rates = {cell: select(cell, "rate", 2) for cell in cells}
    batches = dict(reversed(select("RNN", "batch").items()))

    ln, bn, pooling = (
        {cell: difference(curves[cell], *pair) for cell in cells}
        for pair in (("LN", "none"), ("BN per step", "none"), ("BN pooled", "BN per step"))
    )
    small = {name: difference(batches[2], name, "none") for name in ("LN", "BN per step")}
    fading = {
        cell: {norm: summarise(np.log10(reach(values))) for norm, values in norms.items()}
        for cell, norms in gradients.items()
    }
    less = {name: difference(bits, name, "none") for name in ("LN", "BN per step", "BN pooled")}
    worst = [f"{s.mean:+.1f}" for s in sorted(pooling.values())]
    title = (
        "Test error (%), layer norm minus none:\n"
        + ", ".join(f"{cell} {s.interval()}" for cell, s in ln.items())
        + f";\nan LSTM on a text: {less['LN'].interval('+.2f')} bits per character;\n"
        f"batch norm pooled over the steps: {' to '.join(dict.fromkeys((worst[0], worst[-1])))} "
        "points"
    )
    finding = (
        f"Reading {len(data()[0][0]):,} images row by row, test error against no normalisation: LN "
        + ", ".join(f"{cell} {s.interval()}" for cell, s in ln.items())
        + "; BN per step "
        + ", ".join(f"{cell} {s.interval()}" for cell, s in bn.items())
        + " points; BN's statistics pooled over the steps add "
        + ", ".join(f"{cell} {s.interval()}" for cell, s in pooling.items())
        + f". In batches of 2, RNN: LN {small['LN'].interval()}, BN "
        f"{small['BN per step'].interval()}. log10 of ‖dL/dh‖ at step 1 over step {STEPS}, "
        "untrained: "
        + "; ".join(
            f"{cell} " + ", ".join(f"{norm} {s:.1f}" for norm, s in norms.items())
            for cell, norms in fading.items()
        )
        + f". An LSTM on a text: {summarise(bits['none'][:, -1]):.2f} bits per character, with LN "
        f"{less['LN'].interval('+.2f')}, BN {less['BN per step'].interval('+.2f')} (95 % "
        f"intervals of paired differences, {flags.repeats})."
    )
    at = {cell: [EVERY * (1 + i) for i in range(lengths[cell] // EVERY)] for cell in cells}
    images: dict = {(cell, "curves"): (at[cell], curves[cell]) for cell in cells}
    images |= {(cell, "rates"): rates[cell] for cell in cells}
    images["RNN", "batches"] = batches
    figure = draw(images, gradients, (list(range(every, updates + 1, every)), bits), title)
    finish(
        flags, figure, finding,
        settings={"size": SIZE, "rate": RATE, "batch": BATCHES[0], "updates": lengths},
        results={
            "images": [{**j, "error": c} for j, c in found],
            "gradients": gradients,
            "bits": bits,
        },
        characters=[len(part) for part in text()],
    )  # fmt: skip


def reach(norms: np.ndarray) -> np.ndarray:
    """How much of the last step's gradient arrives at the first, seed by seed."""
    return np.maximum(norms[:, 0], 1e-30) / norms[:, -1]


if __name__ == "__main__":
    main()
