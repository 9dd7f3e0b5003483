"""Networks against each other: a GAN as it is usually written, and one with a gradient penalty."""

from __future__ import annotations

from typing import Any

import numpy as np
import side_by_side
from side_by_side import DTYPES, STEPS, Run


def gan(m: Any, run: Run) -> Any:
    """Two optimisers, labels of ones and zeros, the generator's images detached for the critic."""
    nn, Variable = m.nn, m.autograd.Variable
    latent, shape = 6, (1, 8, 8)

    class Generator(nn.Module):
        def __init__(self) -> None:
            super().__init__()

            def block(n_in: int, n_out: int, normalize: bool = True) -> Any:
                layers = [nn.Linear(n_in, n_out)]
                if normalize:
                    layers.append(nn.BatchNorm1d(n_out, 0.8))
                layers.append(nn.LeakyReLU(0.2, inplace=True))
                return layers

            self.model = nn.Sequential(
                *block(latent, 16, normalize=False),
                *block(16, 32),
                nn.Linear(32, int(np.prod(shape))),
                nn.Tanh(),
            )

        def forward(self, z: Any) -> Any:
            img = self.model(z)
            return img.view(img.size(0), *shape)

    class Discriminator(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = nn.Sequential(
                nn.Linear(int(np.prod(shape)), 16),
                nn.LeakyReLU(0.2, inplace=True),
                nn.Linear(16, 1),
                nn.Sigmoid(),
            )

        def forward(self, img: Any) -> Any:
            return self.model(img.view(img.size(0), -1))

    generator, discriminator = Generator(), Discriminator()
    run.start(generator, discriminator)
    adversarial_loss = nn.BCELoss()
    optimizer_g = m.optim.Adam(generator.parameters(), lr=2e-3, betas=(0.5, 0.999))
    optimizer_d = m.optim.Adam(discriminator.parameters(), lr=2e-3, betas=(0.5, 0.999))
    tensor_type = m.DoubleTensor if run.name == "float64" else m.FloatTensor

    for _ in range(STEPS):
        real_imgs = Variable(m.tanh(run.normal(10, *shape)).type(tensor_type))
        valid = Variable(tensor_type(10, 1).fill_(1.0), requires_grad=False)
        fake = Variable(tensor_type(10, 1).fill_(0.0), requires_grad=False)

        optimizer_g.zero_grad()
        z = Variable(tensor_type(run.rng.normal(0, 1, (10, latent))))
        gen_imgs = generator(z)
        g_loss = adversarial_loss(discriminator(gen_imgs), valid)
        g_loss.backward()
        optimizer_g.step()

        optimizer_d.zero_grad()
        real_loss = adversarial_loss(discriminator(real_imgs), valid)
        fake_loss = adversarial_loss(discriminator(gen_imgs.detach()), fake)
        d_loss = (real_loss + fake_loss) / 2
        d_loss.backward()
        optimizer_d.step()
        yield d_loss.item(), g_loss.data.item()


def wgan_gp(m: Any, run: Run) -> Any:
    """The critic's gradient has a norm of 1: a gradient inside of a loss, by func.grad."""
    nn = m.nn
    critic = nn.Sequential(
        nn.Linear(2, 16), nn.LeakyReLU(0.2), nn.Linear(16, 16), nn.LeakyReLU(0.2), nn.Linear(16, 1)
    )
    generator = nn.Sequential(nn.Linear(3, 16), nn.ReLU(), nn.Linear(16, 2))
    run.start(critic, generator)
    opt_c = m.optim.Adam(critic.parameters(), lr=1e-3, betas=(0.0, 0.9))
    opt_g = m.optim.RMSprop(generator.parameters(), lr=1e-3)
    slope = m.func.grad(lambda x: critic(x).sum())

    for step in range(STEPS):
        for p in critic.parameters():
            p.requires_grad = True
        real, noise = run.normal(12, 2) + 2, run.normal(12, 3)
        with m.no_grad():
            fake = generator(noise)
        eps = run.tensor(run.rng.random((12, 1))).expand_as(real)
        mixed = eps * real.data + (1 - eps) * fake.data
        penalty = ((slope(mixed).norm(2, dim=1) - 1) ** 2).mean()
        wasserstein = critic(fake).mean() - critic(real).mean()
        critic.zero_grad()
        loss = wasserstein + 10 * penalty
        loss.backward()
        opt_c.step()

        g_loss = m.zeros(1, dtype=run.dtype)
        if step % 2 == 1:
            for p in critic.parameters():
                p.requires_grad = False
            opt_g.zero_grad()
            g_loss = -critic(generator(noise)).mean()
            g_loss.backward()
            opt_g.step()
            assert all(p.grad is not None for p in generator.parameters())
        yield loss.item(), penalty.item(), g_loss.item()


@DTYPES
def test_gan(dtype: str) -> None:
    side_by_side.compare(gan, dtype)


@DTYPES
def test_wgan_gp(dtype: str) -> None:
    side_by_side.compare(wgan_gp, dtype)
