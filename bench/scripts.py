"""Networks as people's scripts have them, of many kinds: one step of training, in the same text for
PyTorch. None was tuned for: a network that is fast because it stands here is a defect.

Each function makes a model and its loss, without a random number drawn in a step.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from .cases import Case
from .nets import trained_by
from .work import Work, in_float64

Loss = Callable[[], Any]


class Data:
    """Inputs and targets, the same for each library."""

    def __init__(self, m: Any) -> None:
        self.m, self.rng = m, np.random.default_rng(0)

    def floats(self, *shape: int) -> Any:
        return self.m.from_numpy(self.rng.standard_normal(shape).astype(np.float32))

    def numbers(self, most: int, *shape: int) -> Any:
        return self.m.from_numpy(self.rng.integers(0, most, shape))

    def bits(self, *shape: int) -> Any:
        return self.m.from_numpy(self.rng.integers(0, 2, shape).astype(np.float32))


def char_lstm(m: Any, data: Data) -> tuple[Any, Loss]:
    """Two layers of an LSTM on characters."""
    nn = m.nn
    model = nn.ModuleList([nn.Embedding(65, 64), nn.LSTM(64, 128, 2), nn.Linear(128, 65)])
    x, y = data.numbers(65, 64, 32), data.numbers(65, 64 * 32)

    def loss() -> Any:
        states, _ = model[1](model[0](x))
        return nn.functional.cross_entropy(model[2](states).reshape(-1, 65), y)

    return model, loss


def sequence_regression(m: Any, data: Data) -> tuple[Any, Loss]:
    """A GRU that reads series of eight numbers."""
    model = m.nn.ModuleList([m.nn.GRU(8, 64), m.nn.Linear(64, 1)])
    x, y = data.floats(50, 16, 8), data.floats(16, 1)
    return model, lambda: m.nn.functional.mse_loss(model[1](model[0](x)[0][-1]), y)


def gpt(m: Any, data: Data) -> tuple[Any, Loss]:
    """A transformer on characters, its attention written out."""
    nn, width, heads, length = m.nn, 128, 4, 64
    blocks = nn.ModuleList(
        nn.ModuleDict({
            "first": nn.LayerNorm(width), "qkv": nn.Linear(width, 3 * width),
            "out": nn.Linear(width, width), "second": nn.LayerNorm(width),
            "mlp": nn.Sequential(
                nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
            ),
        }) for _ in range(3)
    )  # fmt: skip
    model = nn.ModuleList(
        [nn.Embedding(65, width), nn.Embedding(length, width), blocks, nn.Linear(width, 65)]
    )
    x, y, places = data.numbers(65, 8, length), data.numbers(65, 8 * length), m.arange(length)
    hidden = m.from_numpy(np.triu(np.ones((length, length), bool), 1))

    def attend(block: Any, x: Any) -> Any:
        n, t, _ = x.shape
        q, k, v = (
            part.view(n, t, heads, -1).transpose(1, 2) for part in block["qkv"](x).split(width, 2)
        )
        scores = (q @ k.transpose(-2, -1)) / math.sqrt(width // heads)
        weights = scores.masked_fill(hidden, float("-inf")).softmax(-1)
        return block["out"]((weights @ v).transpose(1, 2).reshape(n, t, width))

    def loss() -> Any:
        h = model[0](x) + model[1](places)
        for block in blocks:
            h = h + attend(block, block["first"](h))
            h = h + block["mlp"](block["second"](h))
        return nn.functional.cross_entropy(model[3](h).view(-1, 65), y)

    return model, loss


def vision_transformer(m: Any, data: Data) -> tuple[Any, Loss]:
    """Patches of 4 x 4 pixels, and three layers of an encoder."""
    nn = m.nn
    layer = nn.TransformerEncoderLayer(64, 4, 256, 0.0, "gelu", batch_first=True)
    encoder = nn.TransformerEncoder(layer, 3, enable_nested_tensor=False)
    model = nn.ModuleList([nn.Conv2d(3, 64, 4, 4), encoder, nn.Linear(64, 10)])
    x, y = data.floats(8, 3, 32, 32), data.numbers(10, 8)

    def loss() -> Any:
        patches = model[0](x).flatten(2).transpose(1, 2)
        return nn.functional.cross_entropy(model[2](model[1](patches).mean(1)), y)

    return model, loss


def unet(m: Any, data: Data) -> tuple[Any, Loss]:
    """Two steps down, two up, with connections across."""
    nn, F = m.nn, m.nn.functional

    def twice(i: int, o: int) -> Any:
        return nn.Sequential(
            nn.Conv2d(i, o, 3, padding=1), nn.BatchNorm2d(o), nn.ReLU(),
            nn.Conv2d(o, o, 3, padding=1), nn.BatchNorm2d(o), nn.ReLU(),
        )  # fmt: skip

    model = nn.ModuleList([
        twice(1, 16), twice(16, 32), twice(32, 64), nn.ConvTranspose2d(64, 32, 2, 2),
        twice(64, 32), nn.ConvTranspose2d(32, 16, 2, 2), twice(32, 16), nn.Conv2d(16, 1, 1),
    ])  # fmt: skip
    x, y = data.floats(4, 1, 64, 64), data.bits(4, 1, 64, 64)

    def loss() -> Any:
        a = model[0](x)
        b = model[1](F.max_pool2d(a, 2))
        c = model[3](model[2](F.max_pool2d(b, 2)))
        d = model[5](model[4](m.cat([b, c], 1)))
        out = model[7](model[6](m.cat([a, d], 1)))
        return F.binary_cross_entropy_with_logits(out, y)

    return model, loss


def autoencoding(m: Any, data: Data) -> tuple[Any, Loss]:
    """A variational autoencoder of digits, with noise that stays."""
    nn, F = m.nn, m.nn.functional
    model = nn.ModuleList([nn.Linear(784, 400), nn.Linear(400, 20), nn.Linear(400, 20),
                           nn.Linear(20, 400), nn.Linear(400, 784)])  # fmt: skip
    x, noise = data.bits(128, 784), data.floats(128, 20)

    def loss() -> Any:
        h = F.relu(model[0](x))
        mean, log_var = model[1](h), model[2](h)
        z = mean + noise * m.exp(0.5 * log_var)
        again = F.binary_cross_entropy_with_logits(
            model[4](F.relu(model[3](z))), x, reduction="sum"
        )
        return (again - 0.5 * m.sum(1 + log_var - mean.pow(2) - log_var.exp())) / x.numel()

    return model, loss


def generator(m: Any, data: Data) -> tuple[Any, Loss]:
    """A DCGAN's generator: transposed convolutions from a vector to an image."""
    nn, layers, channels = m.nn, [], 64
    for width, stride, around in ((128, 1, 0), (64, 2, 1), (32, 2, 1)):
        layers += [nn.ConvTranspose2d(channels, width, 4, stride, around, bias=False),
                   nn.BatchNorm2d(width), nn.ReLU()]  # fmt: skip
        channels = width
    model = nn.Sequential(*layers, nn.ConvTranspose2d(channels, 3, 4, 2, 1), nn.Tanh())
    x, y = data.floats(16, 64, 1, 1), data.floats(16, 3, 32, 32)
    return model, lambda: nn.functional.mse_loss(model(x), y)


def gated(m: Any, data: Data) -> tuple[Any, Loss]:
    """Inverted residuals with gates over channels, as in EfficientNet."""
    nn, F = m.nn, m.nn.functional

    def block(i: int, o: int, k: int, stride: int) -> Any:
        e = 4 * i
        return nn.ModuleList([
            nn.Sequential(nn.Conv2d(i, e, 1, bias=False), nn.BatchNorm2d(e), nn.SiLU(),
                          nn.Conv2d(e, e, k, stride, k // 2, groups=e, bias=False),
                          nn.BatchNorm2d(e), nn.SiLU()),
            nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(e, i // 2, 1), nn.SiLU(),
                          nn.Conv2d(i // 2, e, 1), nn.Sigmoid()),
            nn.Sequential(nn.Conv2d(e, o, 1, bias=False), nn.BatchNorm2d(o)),
        ])  # fmt: skip

    blocks = nn.ModuleList([block(16, 24, 3, 2), block(24, 40, 5, 2), block(40, 40, 5, 1)])
    model = nn.ModuleList([nn.Conv2d(3, 16, 3, 1, 1, bias=False), blocks, nn.Linear(40, 10)])
    x, y = data.floats(8, 3, 32, 32), data.numbers(10, 8)

    def loss() -> Any:
        h = F.silu(model[0](x))
        for wide, gate, narrow in blocks:
            inner = wide(h)
            h = narrow(inner * gate(inner))
        return F.cross_entropy(model[2](h.mean((2, 3))), y, label_smoothing=0.1)

    return model, loss


def convnext(m: Any, data: Data) -> tuple[Any, Loss]:
    """Depthwise 7 x 7, then a layer norm and two products with the channels last."""
    nn, F = m.nn, m.nn.functional
    blocks = nn.ModuleList(
        nn.ModuleList([nn.Conv2d(40, 40, 7, padding=3, groups=40), nn.LayerNorm(40),
                       nn.Linear(40, 160), nn.Linear(160, 40)]) for _ in range(3)
    )  # fmt: skip
    model = nn.ModuleList([nn.Conv2d(3, 40, 4, 4), blocks, nn.Linear(40, 10)])
    x, y = data.floats(8, 3, 64, 64), data.numbers(10, 8)

    def loss() -> Any:
        h = model[0](x)
        for spread, norm, wide, narrow in blocks:
            inner = narrow(F.gelu(wide(norm(spread(h).permute(0, 2, 3, 1)))))
            h = h + inner.permute(0, 3, 1, 2)
        return F.cross_entropy(model[2](h.mean((2, 3))), y)

    return model, loss


def wavenet(m: Any, data: Data) -> tuple[Any, Loss]:
    """Causal convolutions, each twice as dilated as the one before."""
    nn = m.nn
    blocks = nn.ModuleList(
        nn.ModuleList([*(nn.Conv1d(32, 32, 2, dilation=2**i, padding=2**i) for _ in range(2)),
                       nn.Conv1d(32, 32, 1)]) for i in range(6)
    )  # fmt: skip
    model = nn.ModuleList([nn.Conv1d(1, 32, 1), blocks, nn.Conv1d(32, 64, 1)])
    x, y = data.floats(4, 1, 512), data.numbers(64, 4, 512)

    def loss() -> Any:
        h = model[0](x)
        for tone, gate, out in blocks:
            h = h + out(m.tanh(tone(h)[..., :512]) * m.sigmoid(gate(h)[..., :512]))
        return nn.functional.cross_entropy(model[2](h), y)

    return model, loss


def points(m: Any, data: Data) -> tuple[Any, Loss]:
    """A PointNet: the same layers for every point, then the largest of each feature."""
    nn = m.nn
    each = nn.Sequential(nn.Conv1d(3, 64, 1), nn.BatchNorm1d(64), nn.ReLU(), nn.Conv1d(64, 128, 1),
                         nn.BatchNorm1d(128), nn.ReLU())  # fmt: skip
    model = nn.ModuleList([each, nn.Linear(128, 10)])
    x, y = data.floats(16, 3, 256), data.numbers(10, 16)
    return model, lambda: nn.functional.cross_entropy(model[1](m.max(each(x), 2)[0]), y)


def messages(m: Any, data: Data) -> tuple[Any, Loss]:
    """A graph of 500 nodes, whose messages are added up at their ends."""
    nn, F = m.nn, m.nn.functional
    model = nn.ModuleList([nn.Linear(64, 32), nn.Linear(64, 32), nn.Linear(32, 1)])
    start, end = data.numbers(500, 4000), data.numbers(500, 4000)
    x, y, nothing = data.floats(500, 32), data.floats(500, 1), 0 * data.floats(500, 32)

    def loss() -> Any:
        sent = F.relu(model[0](m.cat([x[start], x[end]], 1)))
        met = nothing.index_add(0, end, sent)
        return F.mse_loss(model[2](F.relu(model[1](m.cat([x, met], 1)))), y)

    return model, loss


def words(m: Any, data: Data) -> tuple[Any, Loss]:
    """Vectors of words from their neighbours, against words drawn."""
    nn, F = m.nn, m.nn.functional
    model = nn.ModuleList([nn.Embedding(5000, 100), nn.Embedding(5000, 100)])
    centre, near, drawn = (data.numbers(5000, 256, *more) for more in ((), (), (5,)))

    def loss() -> Any:
        e = model[0](centre)
        far = m.bmm(model[1](drawn), e.unsqueeze(2)).squeeze(2)
        return -(F.logsigmoid((e * model[1](near)).sum(1)) + F.logsigmoid(-far).sum(1)).mean()

    return model, loss


def small_mlp(m: Any, data: Data) -> tuple[Any, Loss]:
    """Three layers of 32 with tanh, for an equation's solution at 256 points."""
    nn, layers, width = m.nn, [], 2
    for _ in range(3):
        layers += [nn.Linear(width, 32), nn.Tanh()]
        width = 32
    model = nn.Sequential(*layers, nn.Linear(width, 1))
    x, y = data.floats(256, 2), data.floats(256, 1)
    return model, lambda: (model(x) - y).pow(2).mean()


def q_learning(m: Any, data: Data) -> tuple[Any, Loss]:
    """A deep Q-network's step on 128 transitions."""
    nn, F = m.nn, m.nn.functional
    both = [nn.Sequential(nn.Linear(4, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(),
                          nn.Linear(128, 2)) for _ in range(2)]  # fmt: skip
    model = nn.ModuleList(both)
    state, after, action = data.floats(128, 4), data.floats(128, 4), data.numbers(2, 128, 1)
    reward = data.floats(128)

    def loss() -> Any:
        with m.no_grad():
            best = model[1](after).max(1)[0]
        wanted = (reward + 0.99 * best).unsqueeze(1)
        return F.smooth_l1_loss(model[0](state).gather(1, action), wanted)

    return model, loss


def flow(m: Any, data: Data) -> tuple[Any, Loss]:
    """Six affine couplings of a normalising flow in the plane."""
    nn = m.nn

    def net(last: list[Any]) -> Any:
        return nn.Sequential(nn.Linear(2, 64), nn.LeakyReLU(), nn.Linear(64, 64), nn.LeakyReLU(),
                             nn.Linear(64, 2), *last)  # fmt: skip

    model = nn.ModuleList(nn.ModuleList([net([nn.Tanh()]), net([])]) for _ in range(6))
    x = data.floats(256, 2)
    masks = [m.from_numpy(np.array(bits, np.float32)) for bits in ((1, 0), (0, 1))]

    def loss() -> Any:
        z, log_det = x, 0
        for i, (scale, shift) in enumerate(model):
            mask = masks[i % 2]
            s = scale(z * mask) * (1 - mask)
            z = z * mask + (1 - mask) * (z - shift(z * mask)) * m.exp(-s)
            log_det = log_det - s.sum(1)
        return (0.5 * (z**2).sum(1) - log_det).mean() / 100  # or it would diverge in many steps

    return model, loss


def sentences(m: Any, data: Data) -> tuple[Any, Loss]:
    """Convolutions over three, four and five words, and the largest of each."""
    nn, F = m.nn, m.nn.functional
    model = nn.ModuleList([nn.Embedding(2000, 64), nn.Linear(96, 2),
                           *(nn.Conv2d(1, 32, (k, 64)) for k in (3, 4, 5))])  # fmt: skip
    x, y = data.numbers(2000, 32, 50), data.numbers(2, 32)

    def loss() -> Any:
        e = model[0](x).unsqueeze(1)
        rows = [F.relu(conv(e)).squeeze(3) for conv in model[2:]]
        found = [F.max_pool1d(row, row.shape[2]).squeeze(2) for row in rows]
        return F.cross_entropy(model[1](m.cat(found, 1)), y)

    return model, loss


def table(m: Any, data: Data) -> tuple[Any, Loss]:
    """Columns of categories and of numbers."""
    nn, F = m.nn, m.nn.functional
    model = nn.ModuleList([
        nn.ModuleList(nn.Embedding(k, 8) for k in (10, 20, 30, 5)), nn.BatchNorm1d(6),
        nn.Sequential(nn.Linear(38, 200), nn.ReLU(), nn.BatchNorm1d(200), nn.Linear(200, 1)),
    ])  # fmt: skip
    categories, numbers, y = data.numbers(5, 64, 4), data.floats(64, 6), data.bits(64, 1)

    def loss() -> Any:
        parts = [embed(categories[:, i]) for i, embed in enumerate(model[0])]
        out = model[2](m.cat([*parts, model[1](numbers)], 1))
        return F.binary_cross_entropy_with_logits(out, y)

    return model, loss


MAKERS: dict[str, Callable[[Any, Data], tuple[Any, Loss]]] = {
    "LSTM on characters": char_lstm, "GRU on series": sequence_regression, "GPT": gpt,
    "vision transformer": vision_transformer, "U-Net": unet, "VAE": autoencoding,
    "DCGAN generator": generator, "EfficientNet": gated, "ConvNeXt": convnext, "WaveNet": wavenet,
    "PointNet": points, "graph network": messages, "word2vec": words, "small MLP": small_mlp,
    "DQN": q_learning, "normalising flow": flow, "text convolutions": sentences,
    "tabular network": table,
}  # fmt: skip
CASES = [Case("scripts", "script", (), net=name, quick=name == "small MLP") for name in MAKERS]


def work(m: Any, case: Case) -> Work:
    data = Data(m)
    model, loss = MAKERS[case.net](m, data)
    if "float64" in str(data.floats(1).dtype):
        model.double()
    return trained_by(m, model, loss, data.rng)


def reference(case: Case) -> list[Any]:
    """In float64, by the numpy kernels, which the tests compare with PyTorch."""
    return in_float64(work, case)
