"""Mistakes, which type checkers must report: each at its line, marked by a comment, and no other.

It is read, never run; test_types.py compares.
"""
# ruff: noqa: B018

import numpy as np

import minigrad as mg
from minigrad import data, nn, optim
from minigrad.nn import functional as F
from minigrad.optim import lr_scheduler

x = mg.randn(2, 3, requires_grad=True)
labels = mg.tensor([0, 1])

# Names that do not exist, of tensors and of what their methods, properties and operators return.
x.relux()  # error
x.sigmod()  # error
x.relu().summ()  # error
x.sum(dim=0).summ()  # error
x.sum(axis=0).summ()  # error
x.cumsum(0).summ()  # error
x.add_(1).summ()  # error
x.exp().log().sqrt().summ()  # error
x.T.summ()  # error
x.mT.summ()  # error
x.data.summ()  # error
x.detach().summ()  # error
x.float().summ()  # error
x.to(mg.float64).summ()  # error
x[0].summ()  # error
(x + 1).summ()  # error
(1 - x).summ()  # error
(2 / x).summ()  # error
(-x).summ()  # error
abs(x).summ()  # error
(x @ x.T).summ()  # error
(x == 1).summ()  # error
(x > 0).summ()  # error
(~(x != 1)).summ()  # error
x.max().summ()  # error
x.max(dim=1).summ()  # error
x.max().values  # error
x.max(dim=1).value  # error
x.sort().indexes  # error
x.split(1).sum()  # error
x.shape.sum()  # error
x.device.kind  # error
x.array.summ()  # error
for row in x:
    row.summ()  # error

# Arguments.
x.sum(foo=3)  # error
x.sum(axes=0)  # error
x.sum(dims=0)  # error
x.sum(0, True, True)  # error
x.softmax(axis=0, keepdims=True)  # error
x.relu(inplce=True)  # error
x.cumsum()  # error
x.cumsum(axis="0")  # error
x.cumsum_()  # error
x.gather(index=labels)  # error
x.narrow(axis=0, start=0)  # error
x.view_as()  # error
x.add_()  # error
x.add(1, alpa=2)  # error
x.clamp(mini=0)  # error
x.zero_(1)  # error
x.item(0)  # error
x.T()  # error
x.shape()  # error
x.backward(retain=True)  # error
x.normal_(mean=0, sd=1)  # error
x.size(axis="0")  # error
x.new_zeros(2, dtyp=mg.int64)  # error
mg.sum()  # error
mg.cat([x, x], axes=1)  # error
mg.randn(2, 3, require_grad=True)  # error
mg.tensor([1.0], requires_gradient=True)  # error
mg.stack(x, x, x)  # error
F.cross_entropy(x)  # error
F.cross_entropy(x, labels, reduce="mean")  # error
F.conv2d(x, x, strides=2)  # error
F.dropout(x, prob=0.5)  # error
mg.manual_seed("0")  # error

# Operators and assignments.
x.shape = (3, 2)  # error
x.data = np.zeros(3)  # error
x.grad = 0  # error
x.requires_grad = "yes"  # error
x.detach = None  # error

# Names of modules.
mg.sofmax(x)  # error
mg.Tensr  # error
nn.Conv2D(1, 2, 3)  # error
nn.init.zeros(x)  # error
nn.utils.clip_grad_norm(x)  # error
F.reluu(x)  # error
optim.Adamw([x])  # error
lr_scheduler.StepLr  # error
data.DataLoadr  # error
mg.autograd.gradchek  # error
mg.autograd.functional.jacobien  # error
mg.analysis.sharpnes  # error
mg.utils.dta  # error
mg.utils.data.DataLoadr  # error
mg.distributions.Gaussian  # error
mg.Generator().manual_sed(0)  # error
mg.distributions.Normal(0, 1).sampel()  # error
mg.distributions.Categorical(x).prob  # error

# Layers, optimisers, data.
nn.Linear(2)  # error
nn.Linear(2, 3, biass=False)  # error
nn.Linear("2", 3)  # error
nn.BatchNorm2d(3, momentun=0.1)  # error
nn.Sequential(nn.Linear(2, 3)).paramters()  # error
optim.SGD()  # error
optim.SGD([x], learning_rate=0.1)  # error
optim.SGD([x], lr=0.1).setp()  # error
data.DataLoader(data.TensorDataset(x), batchsize=2)  # error
mg.randn(2, generator=0)  # error
mg.distributions.Normal(0)  # error
mg.distributions.Normal(0, 1).sample(3)  # error


class Net(nn.Module):
    """A user's network."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 4)
        self.scale = nn.Parameter(mg.ones(4))

    def forward(self, input: mg.Tensor) -> mg.Tensor:
        """Mistaken in every line but the first and the last."""
        hidden = F.relu(self.layer(input)) * self.scale
        hidden = self.layr(input)  # error
        hidden = hidden * self.scale.summ()  # error
        hidden = self.layer.wieght  # error
        return hidden


net = Net()
net.paramters()  # error
net.layer.weight.summ()  # error
net.train("yes")  # error
net.to(dtyp=mg.float64)  # error
