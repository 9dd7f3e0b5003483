"""Models of densities: an autoencoder with a latent normal, masked layers, and a flow."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import side_by_side
from side_by_side import DTYPES, STEPS, Run


def vae(m: Any, run: Run) -> Any:
    """Reparametrised draws, KL divergence in closed form, a decoder of transposed convolutions."""
    nn, F = m.nn, m.nn.functional
    images = run.rng.random((40, 1, 8, 8))

    class VAE(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder = nn.Sequential(nn.Conv2d(1, 4, 3, 2, 1), nn.ReLU(), nn.Flatten())
            self.fc21, self.fc22 = nn.Linear(64, 3), nn.Linear(64, 3)
            self.fc3 = nn.Linear(3, 64)
            self.decoder = nn.Sequential(
                nn.ConvTranspose2d(4, 4, 4, stride=2, padding=1), nn.ELU(), nn.Conv2d(4, 1, 1)
            )

        def encode(self, x: Any) -> Any:
            h1 = self.encoder(x)
            return self.fc21(h1), self.fc22(h1)

        def reparameterize(self, mu: Any, logvar: Any) -> Any:
            std = m.exp(0.5 * logvar)
            eps = run.normal(*std.shape).type_as(std)
            return mu + eps * std

        def forward(self, x: Any) -> Any:
            mu, logvar = self.encode(x)
            z = self.reparameterize(mu, logvar)
            h3 = F.relu(self.fc3(z)).view(-1, 4, 4, 4)
            return m.sigmoid(self.decoder(h3)), mu, logvar

    def loss_function(recon_x: Any, x: Any, mu: Any, logvar: Any) -> Any:
        bce = F.binary_cross_entropy(recon_x, x.view_as(recon_x), reduction="sum")
        kld = -0.5 * m.sum(1 + logvar - mu.pow(2) - logvar.exp())
        return bce + kld, kld

    model = VAE()
    run.start(model)
    optimizer = m.optim.Adam(model.parameters(), lr=1e-3)
    dataset = m.utils.data.TensorDataset(run.tensor(images), m.arange(40) % 10)
    kwargs = {"num_workers": 0, "pin_memory": False}
    loader = m.utils.data.DataLoader(dataset, batch_size=8, shuffle=False, **kwargs)
    for _ in range(STEPS // len(loader)):
        model.train()
        for _batch_idx, (data, _) in enumerate(loader):
            data = data.to(m.device("cpu"))
            optimizer.zero_grad()
            recon_batch, mu, logvar = model(data)
            loss, kld = loss_function(recon_batch, data, mu, logvar)
            loss.backward()
            optimizer.step()
            yield loss.item() / len(data), kld.item()


def made(m: Any, run: Run) -> Any:
    """Linear layers whose masks, buffers, let an output see the inputs before it alone."""
    nn, F = m.nn, m.nn.functional

    class MaskedLinear(nn.Linear):
        def __init__(self, in_features: int, out_features: int, bias: bool = True) -> None:
            super().__init__(in_features, out_features, bias)
            self.register_buffer("mask", m.ones(out_features, in_features))

        def set_mask(self, mask: Any) -> None:
            self.mask.data.copy_(m.from_numpy(mask.astype(np.uint8).T))

        def forward(self, input: Any) -> Any:
            return F.linear(input, self.mask * self.weight, self.bias)

    class MADE(nn.Module):
        def __init__(self, nin: int, hidden_sizes: list[int], nout: int) -> None:
            super().__init__()
            sizes = [nin, *hidden_sizes, nout]
            layers: list[Any] = []
            for h0, h1 in pairwise(sizes):
                layers.extend([MaskedLinear(h0, h1), nn.ReLU()])
            layers.pop()
            self.net = nn.Sequential(*layers)
            rng = np.random.RandomState(3)
            order = [np.arange(nin)]
            for size in hidden_sizes:
                order.append(rng.randint(order[-1].min(), nin - 1, size=size))
            masks = [a[:, None] <= b[None, :] for a, b in pairwise(order)]
            masks.append(order[-1][:, None] < order[0][None, :])
            masked = [layer for layer in self.net.modules() if isinstance(layer, MaskedLinear)]
            for layer, mask in zip(masked, masks, strict=True):
                layer.set_mask(mask)

        def forward(self, x: Any) -> Any:
            return self.net(x)

    model = MADE(12, [24, 24], 12)
    run.start(model)
    data = run.tensor(run.rng.random((60, 12)) < np.linspace(0.1, 0.9, 12))
    opt = m.optim.Adam(model.parameters(), 1e-2, weight_decay=1e-4)
    scheduler = m.optim.lr_scheduler.StepLR(opt, step_size=8, gamma=0.1)
    for step in range(STEPS):
        xb = m.autograd.Variable(data[step % 3 * 20 : step % 3 * 20 + 20])
        loss = F.binary_cross_entropy_with_logits(model(xb), xb, reduction="sum") / len(xb)
        opt.zero_grad()
        loss.backward()
        opt.step()
        scheduler.step()
        yield loss.item(), opt.param_groups[0]["lr"]

    x = xb[:1].clone().requires_grad_()  # autoregressive: no output sees itself or those after it
    model(x)[0, 5].backward()
    assert not x.grad[0, 5:].any() and x.grad[0, :5].any()


def flow(m: Any, run: Run) -> Any:
    """Affine coupling layers, the change of variables under a normal, and draws by the inverse."""
    nn = m.nn

    class AffineCoupling(nn.Module):
        def __init__(self, dim: int, flip: bool, hidden: int = 16) -> None:
            super().__init__()
            mask = m.zeros(dim)
            mask[int(flip) :: 2] = 1
            self.register_buffer("mask", mask)
            self.scale = nn.Parameter(m.zeros(dim))
            self.net = nn.Sequential(nn.Linear(dim, hidden), nn.SiLU(), nn.Linear(hidden, 2 * dim))

        def _s_t(self, kept: Any) -> Any:
            s, t = self.net(kept).chunk(2, dim=-1)
            return m.tanh(s) * m.exp(self.scale) * (1 - self.mask), t * (1 - self.mask)

        def forward(self, x: Any) -> Any:
            s, t = self._s_t(x * self.mask)
            return x * self.mask + (1 - self.mask) * (x * s.exp() + t), s.sum(-1)

        def inverse(self, z: Any) -> Any:
            s, t = self._s_t(z * self.mask)
            return z * self.mask + (1 - self.mask) * (z - t) * m.exp(-s)

    layers = nn.ModuleList([AffineCoupling(2, flip=bool(i % 2)) for i in range(4)])
    run.start(layers)
    zeros, ones = m.zeros(2, dtype=run.dtype), m.ones(2, dtype=run.dtype)
    prior = m.distributions.Normal(zeros, ones)
    optimizer = m.optim.Adamax([p for p in layers.parameters() if p.requires_grad], lr=5e-3)
    for _ in range(STEPS):
        x = run.normal(32, 2)
        x = m.stack([x[:, 0], x[:, 0] ** 2 + 0.3 * x[:, 1]], dim=1)
        z, log_det = x, x.new_zeros(len(x))
        for layer in layers:
            z, ld = layer(z)
            log_det += ld
        loss = -(prior.log_prob(z).sum(-1) + log_det).mean()
        optimizer.zero_grad()
        loss.backward()
        norm = nn.utils.clip_grad_norm_(layers.parameters(), 5.0)
        optimizer.step()
        yield loss.item(), float(norm)

    with m.no_grad():
        z = x
        for layer in layers:
            z, _ = layer(z)
        for layer in reversed(layers):
            z = layer.inverse(z)
    assert m.allclose(z, x, atol=1e-4)


@DTYPES
def test_vae(dtype: str) -> None:
    side_by_side.compare(vae, dtype)


@DTYPES
def test_made(dtype: str) -> None:
    side_by_side.compare(made, dtype)


@DTYPES
def test_flow(dtype: str) -> None:
    side_by_side.compare(flow, dtype)
