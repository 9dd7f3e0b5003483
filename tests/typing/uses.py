"""Uses that type checkers must accept, and what they must say of the results.

It is read, never run; test_types.py looks for errors in it.
"""

from pathlib import Path
from typing import Any, assert_type

import numpy as np

import minigrad as mg
import minigrad.utils.data as utils_data
from minigrad import data, distributions, nn, optim
from minigrad.nn import functional as F
from minigrad.ops.search import ValuesIndices
from minigrad.utils.data import Dataset, IterableDataset

x = mg.randn(2, 3, requires_grad=True)

for a in (
    x.relu(), x.sum(), x.sum(0, True), x.sum(axis=0, keepdims=True), x.std(dim=1, correction=0),
    x.softmax(axis=1), x.cumsum(axis=0), x.exp(), x.floor(), x.view(-1), x.T, x.mT, x.float(),
    x[0], x[..., None], x[x > 0], -x, +x, ~(x > 0), abs(x), x + 1, 1 + x, x - 1.0, 1 - x, x * x,
    2 * x, x / 2, 2 / x, x**2, 2**x, x // 2, 3 // x, x % 2, 3 % x, x @ x.T,
    (x > 0) & (x < 1), (x >= 0) | (x <= 1), (x == 1) ^ (x != 1), x.where(x > 0, 0), x.data,
    mg.where(x > 0, x, 0), mg.cat([x, x], axis=1), mg.logsumexp(x, axis=0, keepdims=True),
    F.batch_norm(x, None, None, training=True), F.normalize(x, axis=1), x.max(), x.max(x),
    x.to("cpu", mg.float64), x.new_zeros(3, dtype=mg.int64), x.detach().zero_(), x.median(),
):  # fmt: skip
    assert_type(a, mg.Tensor)

assert_type(x.max(dim=1), ValuesIndices)
assert_type(x.min(axis=1, keepdims=True).indices, mg.Tensor)
assert_type(x.sort(axis=0, descending=True).values, mg.Tensor)
assert_type(x.nonzero(as_tuple=True), tuple[mg.Tensor, ...])
assert_type(mg.where(x > 0), tuple[mg.Tensor, ...])
assert_type(x.split(1), tuple[mg.Tensor, ...])
assert_type(x.shape, mg.Size)
assert_type(x.size(), mg.Size)
assert_type(x.size(0), int)
assert_type(x.size(axis=0), int)
assert_type(x.numel(), int)
assert_type(x.equal(x), bool)
assert_type(x.dtype, np.dtype[Any])
assert_type(x.device, mg.device)
assert_type(x.grad, mg.Tensor | None)
assert_type(list(x), list[mg.Tensor])

# A change in place keeps what the name is declared to be.
p = nn.Parameter(x)
p -= 0.1 * p
p *= 2
p /= 2
p += 1
assert_type(p, nn.Parameter)
assert_type(p.add_(1).mul_(2).clamp_(min=0).zero_(), nn.Parameter)
assert_type(p.requires_grad_(), nn.Parameter)
p[0] = 1
by_tensor: dict[mg.Tensor, int] = {p: 1}


class Net(nn.Module):
    """A user's network; a buffer needs an annotation, since it is registered by a string."""

    steps: mg.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 4)
        self.norm = nn.BatchNorm1d(4)
        self.blocks = nn.ModuleList([nn.Linear(4, 4), nn.ReLU()])
        self.register_buffer("steps", mg.zeros(1))
        nn.init.zeros_(self.layer.bias)
        nn.init.ones_(self.norm.weight)

    def forward(self, input: mg.Tensor) -> mg.Tensor:
        """Any forward may call layers, and read parameters and buffers."""
        hidden = F.relu(self.norm(self.layer(input)))
        for block in self.blocks:
            hidden = block(hidden)
        self.steps += 1
        return hidden * self.layer.weight.sum() + self.steps


net = Net().train().double()
optimizer = optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
schedule = optim.lr_scheduler.StepLR(optimizer, 2)
for inputs, targets in data.DataLoader(data.TensorDataset(x, x), batch_size=2, shuffle=True):
    loss = F.mse_loss(net(inputs), targets)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    schedule.step()
nn.Sequential(nn.Linear(2, 3), nn.ReLU())[0].weight.sum()


class Squares(Dataset[int]):
    """A dataset says what its samples are, or does not."""

    def __getitem__(self, index: int) -> int:
        """One of four."""
        return index**2

    def __len__(self) -> int:
        """Four."""
        return 4


class Stream(IterableDataset):
    """Without a type of its samples."""


generator = mg.Generator().manual_seed(0)
assert_type(generator, mg.Generator)
assert_type(mg.manual_seed(0), mg.Generator)
assert_type(mg.initial_seed() + mg.seed() + generator.initial_seed(), int)
assert_type(mg.randn(2, generator=generator), mg.Tensor)
checkpoint = mg.Checkpoint("run", every=10, keep=2, generator=generator, values={"step": 0})
assert_type(checkpoint.load_latest(), int | None)
assert_type(checkpoint.save(1), Path | None)
assert_type(p.normal_(0, 1, generator=generator).exponential_().random_(3), nn.Parameter)
assert_type(Squares()[0], int)
both = Squares() + Squares()
assert_type(both, data.ConcatDataset)
utils_data.DataLoader(
    both, 2, True, num_workers=1, worker_init_fn=lambda worker: None, generator=generator
)
mg.utils.data.DataLoader(Stream(), batch_size=None)
parts = utils_data.random_split(Squares(), [1, 3], generator=generator)
assert_type(parts, list[data.Subset])
d0 = distributions.Laplace(x, 1.0)
for d in (
    distributions.Normal(0.0, x), distributions.Categorical(logits=x), distributions.Bernoulli(0.5),
    mg.distributions.Uniform(low=0, high=1), distributions.Gamma(x, 1.0),
    distributions.LogNormal(x, 1), distributions.MultivariateNormal(x, scale_tril=x),
    distributions.Independent(d0, 1),
):  # fmt: skip
    assert_type(d.log_prob(d.sample((2,))) + d.entropy() + d.mean, mg.Tensor)
    assert_type(distributions.kl_divergence(d, d), mg.Tensor)
assert_type(distributions.Categorical(x).probs, mg.Tensor)
assert_type(distributions.Normal(0, 1).expand((2,)), distributions.Normal)
assert_type(mg.autograd.functional.hvp(mg.sum, x), tuple[mg.Tensor, Any])
