"""PyTorch and minigrad: names and arguments are the same, so one text does the work of both."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from . import nets, ops, recurrent, scripts, shapes
from .by_hand import trained
from .cases import CHAIN, GROUPS, NETS, RATE, Array, Case, arrays, net_arrays
from .work import Work

# Suites with a module of their own, which has their cases, work and reference.
TABLES: dict[str, Any] = {
    "ops": ops, "convs": shapes, "products": shapes, "nets": nets, "scripts": scripts,
    "recurrent": recurrent,
}  # fmt: skip


def make(m: Any, case: Case) -> Work:
    """The work of a case in the library `m`."""
    if case.suite in TABLES:
        made: Work = TABLES[case.suite].work(m, case)
        return made
    if case.kind == "step":
        return net_step(m, case)
    if case.kind == "chain_backward":
        return chain_backward(m, case)
    if case.kind == "chain_no_grad":
        return chain_no_grad(m, case)
    if case.kind == "chain":
        return differentiated(m, chain, case, only_first=True, per=CHAIN)
    if case.kind == "batch_norm_relu":
        return batch_norm_relu(m, case)
    return differentiated(m, function(m, case), case)


def batch_norm_relu(m: Any, case: Case) -> Work:
    """The two as layers one after the other, which a library may run as one."""
    x, gamma, beta, g = [m.from_numpy(a) for a in arrays(case)]
    layer = m.nn.BatchNorm2d(case.shape[1])
    with m.no_grad():
        layer.weight.copy_(gamma)
        layer.bias.copy_(beta)
    leaves = [x.requires_grad_(), layer.weight, layer.bias]
    return forward_and_backward(m.nn.Sequential(layer, m.nn.ReLU()), [x], leaves, g)


def function(m: Any, case: Case) -> Callable[..., Any]:
    """What is differentiated, as a function of tensors."""
    F = m.nn.functional
    if case.kind == "batch_norm":
        running_mean, running_var = m.zeros(case.shape[1]), m.ones(case.shape[1])

        def batch_norm(x: Any, gamma: Any, beta: Any) -> Any:
            return F.batch_norm(x, running_mean, running_var, gamma, beta, training=True)

        return batch_norm
    functions: dict[str, Callable[..., Any]] = {
        "layer_norm": lambda x, gamma, beta: F.layer_norm(x, case.shape[-1:], gamma, beta),
        "group_norm": lambda x, gamma, beta: F.group_norm(x, GROUPS, gamma, beta),
        "instance_norm": lambda x, gamma, beta: F.instance_norm(x, weight=gamma, bias=beta),
        "conv2d": lambda x, w, b: F.conv2d(x, w, b, padding=1),
        "max_pool2d": lambda x: F.max_pool2d(x, 2),
        "avg_pool2d": lambda x: F.avg_pool2d(x, 2),
    }
    return functions[case.kind]


def chain(x: Any, a: Any, b: Any) -> Any:
    y = x
    for _ in range(CHAIN // 4):
        y = (y * a + b).tanh() - a
    return y


def differentiated(
    m: Any, f: Callable[..., Any], case: Case, only_first: bool = False, per: int = 1
) -> Work:
    *inputs, g = [m.from_numpy(a) for a in arrays(case)]
    leaves = inputs[:1] if only_first else inputs
    for leaf in leaves:
        leaf.requires_grad_()
    return forward_and_backward(f, inputs, leaves, g, per)


def forward_and_backward(
    f: Callable[..., Any], inputs: list[Any], leaves: list[Any], g: Any, per: int = 1
) -> Work:
    def step() -> Any:
        for leaf in leaves:
            leaf.grad = None
        y = f(*inputs)
        y.backward(g)
        return y

    def results() -> list[Array]:
        y = step()
        return [y.detach().numpy(), *(leaf.grad.numpy() for leaf in leaves)]

    return Work(step, results, per)


def chain_backward(m: Any, case: Case) -> Work:
    x, a, b, g = [m.from_numpy(v) for v in arrays(case)]
    x.requires_grad_()
    y = chain(x, a, b)

    def step() -> Any:
        x.grad = None
        y.backward(g, retain_graph=True)
        return x.grad

    return Work(step, lambda: [step().numpy()], CHAIN)


def chain_no_grad(m: Any, case: Case) -> Work:
    x, a, b, _ = [m.from_numpy(v) for v in arrays(case)]
    x.requires_grad_()

    def step() -> Any:
        with m.no_grad():
            return chain(x, a, b)

    return Work(step, lambda: [step().numpy()], CHAIN)


def build(m: Any, case: Case, initial: list[Array]) -> Any:
    """The network with these parameters."""
    nn = m.nn
    batch_norm = nn.BatchNorm2d if len(case.shape) == 4 else nn.BatchNorm1d
    layers: dict[str, Callable[..., Any]] = {
        "linear": nn.Linear, "conv": lambda i, o: nn.Conv2d(i, o, 3, padding=1),
        "batch_norm": batch_norm, "relu": nn.ReLU, "sigmoid": nn.Sigmoid,
        "max_pool": lambda: nn.MaxPool2d(2), "flatten": nn.Flatten,
    }  # fmt: skip
    model = nn.Sequential(*(layers[name](*sizes) for name, *sizes in NETS[case.net]))
    with m.no_grad():
        for p, value in zip(model.parameters(), initial, strict=True):
            p.copy_(m.from_numpy(value))
    return model


def net_step(m: Any, case: Case) -> Work:
    values, classes, initial = net_arrays(case)
    x, target = m.from_numpy(values), m.from_numpy(classes)
    model = build(m, case, initial)
    optimizer = m.optim.SGD(model.parameters(), lr=RATE)
    F = m.nn.functional
    loss_of = F.mse_loss if case.net == "ReLU MLP" else F.cross_entropy

    def step() -> Any:
        loss = loss_of(model(x), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    def params() -> list[Array]:
        return [p.detach().numpy() for p in model.parameters()]

    return Work(step, lambda: trained(step, lambda loss: float(loss.item()), params, initial))
