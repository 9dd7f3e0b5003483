"""MyGrad and HIPS autograd, each as its users write it. Work they have no function for is None."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np

from .by_hand import trained
from .cases import BIG, CHAIN, EPS, NETS, RATE, Array, Case, arrays, net_arrays
from .work import Work


def _suits(case: Case) -> bool:
    if case.kind == "batch_norm":
        return bool(np.prod(case.shape) <= BIG)
    return case.kind in ("chain", "step") and case.net != "conv net"


def mygrad(case: Case) -> Work | None:
    my: Any = importlib.import_module("mygrad")
    nnet: Any = importlib.import_module("mygrad.nnet")
    if not _suits(case):
        return None
    if case.kind == "step":
        return _mygrad_step(case)
    *inputs, g = arrays(case)
    constants = [False, case.kind == "chain", case.kind == "chain"]
    tensors = [my.tensor(a, constant=c) for a, c in zip(inputs, constants, strict=True)]

    def forward() -> Any:
        x, a, b = tensors
        if case.kind == "batch_norm":
            return nnet.layers.batchnorm(x, gamma=a, beta=b, eps=EPS)
        for _ in range(CHAIN // 4):
            x = my.tanh(x * a + b) - a
        return x

    def step() -> Any:
        y = forward()
        y.backward(g)
        return y

    def results() -> list[Array]:
        y = step()
        return [y.data, *(t.grad for t in tensors if not t.constant)]

    return Work(step, results, CHAIN if case.kind == "chain" else 1)


def _mygrad_step(case: Case) -> Work:
    my: Any = importlib.import_module("mygrad")
    nnet: Any = importlib.import_module("mygrad.nnet")
    x, target, initial = net_arrays(case)
    params = [my.tensor(p) for p in initial]

    def forward() -> Any:
        h, own = my.tensor(x, constant=True), iter(params)
        for name, *_ in NETS[case.net]:
            if name == "linear":
                h = my.matmul(h, next(own).T) + next(own)
            elif name == "batch_norm":
                h = nnet.layers.batchnorm(h, gamma=next(own), beta=next(own), eps=EPS)
            else:
                h = getattr(nnet.activations, name)(h)
        if case.net == "ReLU MLP":
            d = h - target
            return my.mean(d * d)
        return nnet.losses.softmax_crossentropy(h, target)

    def step() -> Any:
        loss = forward()
        loss.backward()
        for p in params:
            p.data -= np.float32(RATE) * p.grad
        return loss

    return Work(step, lambda: trained(step, float, lambda: [p.data for p in params], initial))


def hips(case: Case) -> Work | None:
    import autograd.numpy as anp
    from autograd import make_vjp, value_and_grad

    if not _suits(case):
        return None

    def batch_norm(x: Any, gamma: Any, beta: Any) -> Any:
        axes = (0, *range(2, x.ndim))
        shape = (1, -1, *[1] * (x.ndim - 2))
        d = x - anp.mean(x, axis=axes, keepdims=True)
        var = anp.mean(d * d, axis=axes, keepdims=True)
        return anp.reshape(gamma, shape) * d / anp.sqrt(var + EPS) + anp.reshape(beta, shape)

    if case.kind == "step":
        activations = {
            "relu": lambda h: anp.maximum(h, 0), "sigmoid": lambda h: 1 / (1 + anp.exp(-h))
        }  # fmt: skip
        return _hips_step(case, anp, value_and_grad, batch_norm, activations)
    *inputs, g = arrays(case)

    def chain(x: Any) -> Any:
        for _ in range(CHAIN // 4):
            x = anp.tanh(x * inputs[1] + inputs[2]) - inputs[1]
        return x

    def results() -> list[Array]:
        if case.kind == "chain":
            vjp, y = make_vjp(chain)(inputs[0])
            return [y, vjp(g)]
        vjp, y = make_vjp(lambda three: batch_norm(*three))(tuple(inputs))
        return [y, *vjp(g)]

    return Work(results, results, CHAIN if case.kind == "chain" else 1)


def _hips_step(case: Case, anp: Any, value_and_grad: Any, batch_norm: Any, act: Any) -> Work:
    x, target, initial = net_arrays(case)
    params = [p.copy() for p in initial]
    rows = np.arange(len(x))

    def loss_of(params: Any) -> Any:
        h, own = x, iter(params)
        for name, *_ in NETS[case.net]:
            if name == "linear":
                h = anp.dot(h, next(own).T) + next(own)
            elif name == "batch_norm":
                h = batch_norm(h, next(own), next(own))
            else:
                h = act[name](h)
        if case.net == "ReLU MLP":
            d = h - target
            return anp.mean(d * d)
        h = h - anp.max(h, axis=1, keepdims=True)
        return anp.mean(anp.log(anp.sum(anp.exp(h), axis=1)) - h[rows, target])

    derive = value_and_grad(loss_of)

    def step() -> Any:
        loss, grads = derive(params)
        for p, d in zip(params, grads, strict=True):
            p -= np.float32(RATE) * d
        return loss

    return Work(step, lambda: trained(step, float, lambda: params, initial))
