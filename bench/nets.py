"""Whole networks at 32 x 32, as people build them: one SGD step, in the same text for PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from math import sqrt
from typing import Any

import numpy as np

from .cases import Array, Case
from .work import Work, in_float64

RATE = 0.01


def _conv_bn(nn: Any, i: int, o: int, k: int = 3, stride: int = 1, groups: int = 1) -> list[Any]:
    return [nn.Conv2d(i, o, k, stride, k // 2, groups=groups, bias=False), nn.BatchNorm2d(o)]


def vgg11(nn: Any) -> Any:
    """VGG-11 with batch normalisation."""
    layers: list[Any] = []
    channels = 3
    for width in (64, "M", 128, "M", 256, 256, "M", 512, 512, "M", 512, 512, "M"):
        if isinstance(width, str):
            layers.append(nn.MaxPool2d(2))
        else:
            layers += [*_conv_bn(nn, channels, width), nn.ReLU()]
            channels = width
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(512, 10))


def resnet(nn: Any) -> Any:
    """Four stages of two blocks each, as in ResNet-18."""

    class Block(nn.Module):  # type: ignore[misc]
        def __init__(self, i: int, o: int, stride: int) -> None:
            super().__init__()
            self.way = nn.Sequential(
                *_conv_bn(nn, i, o, 3, stride), nn.ReLU(), *_conv_bn(nn, o, o)
            )
            plain = stride == 1 and i == o
            self.short = nn.Sequential(*([] if plain else _conv_bn(nn, i, o, 1, stride)))
            self.relu = nn.ReLU()

        def forward(self, x: Any) -> Any:
            return self.relu(self.way(x) + self.short(x))

    layers, channels = [*_conv_bn(nn, 3, 64), nn.ReLU()], 64
    for width, stride in ((64, 1), (128, 2), (256, 2), (512, 2)):
        layers += [Block(channels, width, stride), Block(width, width, 1)]
        channels = width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 10))


def mobilenet(nn: Any) -> Any:
    """Inverted residuals, as in MobileNetV2."""

    class Block(nn.Module):  # type: ignore[misc]
        def __init__(self, i: int, o: int, stride: int, factor: int) -> None:
            super().__init__()
            wide = i * factor
            self.way = nn.Sequential(
                *_conv_bn(nn, i, wide, 1), nn.ReLU6(),
                *_conv_bn(nn, wide, wide, 3, stride, wide), nn.ReLU6(), *_conv_bn(nn, wide, o, 1),
            )  # fmt: skip
            self.plain = stride == 1 and i == o

        def forward(self, x: Any) -> Any:
            return x + self.way(x) if self.plain else self.way(x)

    layers, channels = [*_conv_bn(nn, 3, 32), nn.ReLU6()], 32
    for width, stride, count in ((16, 1, 1), (24, 1, 2), (32, 2, 2), (64, 2, 3), (96, 1, 2),
                                 (160, 2, 2)):  # fmt: skip
        for i in range(count):
            factor = 1 if width == 16 else 6
            layers.append(Block(channels, width, stride if i == 0 else 1, factor))
            channels = width
    head = [*_conv_bn(nn, channels, 640, 1), nn.ReLU6(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return nn.Sequential(*layers, *head, nn.Linear(640, 10))


def mixer(nn: Any) -> Any:
    """An MLP-Mixer on 64 patches of 4 x 4, of four layers."""

    class Block(nn.Module):  # type: ignore[misc]
        def __init__(self, tokens: int, channels: int) -> None:
            super().__init__()
            self.first, self.second = nn.LayerNorm(channels), nn.LayerNorm(channels)
            self.tokens, self.channels = (
                nn.Sequential(nn.Linear(i, o), nn.GELU(), nn.Linear(o, i))
                for i, o in ((tokens, 2 * tokens), (channels, 4 * channels))
            )

        def forward(self, x: Any) -> Any:
            x = x + self.tokens(self.first(x).transpose(1, 2)).transpose(1, 2)
            return x + self.channels(self.second(x))

    class Mixer(nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.patches = nn.Conv2d(3, 128, 4, 4)
            self.blocks = nn.Sequential(*(Block(64, 128) for _ in range(4)))
            self.norm, self.head = nn.LayerNorm(128), nn.Linear(128, 10)

        def forward(self, x: Any) -> Any:
            x = self.patches(x).flatten(2).transpose(1, 2)
            return self.head(self.norm(self.blocks(x)).mean(1))

    return Mixer()


def discriminator(nn: Any) -> Any:
    """A DCGAN's discriminator, with ten classes."""
    layers, channels = [nn.Conv2d(3, 64, 4, 2, 1), nn.LeakyReLU(0.2)], 64
    for width in (128, 256):
        layers += [nn.Conv2d(channels, width, 4, 2, 1, bias=False), nn.BatchNorm2d(width),
                   nn.LeakyReLU(0.2)]  # fmt: skip
        channels = width
    return nn.Sequential(*layers, nn.Conv2d(256, 10, 4), nn.Flatten())


def mlp(nn: Any) -> Any:
    return nn.Sequential(nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(),
                         nn.Linear(256, 10))  # fmt: skip


def lenet(nn: Any) -> Any:
    return nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 16, 5), nn.ReLU(),
        nn.MaxPool2d(2), nn.Flatten(), nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84),
        nn.ReLU(), nn.Linear(84, 10),
    )  # fmt: skip


def autoencoder(nn: Any) -> Any:
    """Strided convolutions down, transposed ones up; ten channels come out, of one pixel each."""
    return nn.Sequential(
        nn.Conv2d(3, 32, 4, 2, 1), nn.BatchNorm2d(32), nn.ELU(), nn.Conv2d(32, 64, 4, 2, 1),
        nn.BatchNorm2d(64), nn.ELU(), nn.ConvTranspose2d(64, 32, 4, 2, 1), nn.BatchNorm2d(32),
        nn.ELU(), nn.ConvTranspose2d(32, 10, 4, 2, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
    )  # fmt: skip


NETS: dict[str, tuple[Callable[[Any], Any], tuple[int, ...], float | None]] = {
    "VGG-11 with BN": (vgg11, (8, 3, 32, 32), 1.2),
    "ResNet-18": (resnet, (8, 3, 32, 32), 1.1),
    "MobileNetV2": (mobilenet, (8, 3, 32, 32), 0.8),
    "MLP-Mixer": (mixer, (8, 3, 32, 32), 1.1),
    "DCGAN discriminator": (discriminator, (32, 3, 32, 32), 1.1),
    "784-256-256-10 MLP": (mlp, (128, 784), 0.9),
    "LeNet-5": (lenet, (64, 1, 28, 28), None),
    "autoencoder": (autoencoder, (16, 3, 32, 32), None),
}
CASES = [
    Case("nets", "net", shape, target, net=name, quick=name in ("LeNet-5", "784-256-256-10 MLP"))
    for name, (_, shape, target) in NETS.items()
]


def work(m: Any, case: Case) -> Work:
    rng = np.random.default_rng(0)
    x = m.from_numpy(rng.standard_normal(case.shape).astype(np.float32))
    target = m.from_numpy(rng.integers(0, 10, case.shape[0]))
    model = NETS[case.net][0](m.nn)
    if "float64" in str(x.dtype):
        model.double()
    loss_of = m.nn.CrossEntropyLoss()
    return trained_by(m, model, lambda: loss_of(model(x), target), rng)


def fill(m: Any, model: Any, rng: np.random.Generator) -> None:
    """Draw the parameters."""
    with m.no_grad():
        for p in model.parameters():
            if p.ndim > 1:
                fan_in = int(np.prod(p.shape[1:]))
                drawn = rng.uniform(-1, 1, tuple(p.shape)) * sqrt(3 / fan_in)
                p.copy_(m.from_numpy(drawn.astype(np.float32)))
            else:
                p.fill_(0.1)


def trained_by(m: Any, model: Any, loss_of: Callable[[], Any], rng: np.random.Generator) -> Work:
    """A step of SGD, from parameters that are drawn here."""
    fill(m, model, rng)
    optimizer = m.optim.SGD(model.parameters(), lr=RATE, momentum=0.9)

    def step() -> Any:
        optimizer.zero_grad()
        loss = loss_of()
        loss.backward()
        optimizer.step()
        return loss

    def results() -> list[Array]:
        """After the first step, where a net of many layers has not amplified rounding yet."""
        loss = step()
        return [loss.detach().numpy(), *(p.detach().numpy().copy() for p in model.parameters())]

    return Work(step, results)


def reference(case: Case) -> list[Array]:
    """In float64, by the numpy kernels, which the tests compare with PyTorch."""
    return in_float64(work, case)
