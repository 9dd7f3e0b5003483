"""The equations that an op's source cites; those of a batch normalisation with their values."""

from __future__ import annotations

from typing import Any

import numpy as np

from minigrad.visual.equations import Equation, cited, equations, evaluate
from minigrad.visual.graphs import Vertex
from minigrad.visual.pool import Pool
from minigrad.visual.source import Source
from minigrad.visual.vjps import held_by

Data = dict[str, Any]


def derivation(v: Vertex, source: Source, pool: Pool) -> list[Data]:
    """The equations that the functions of the op cite, in their order, as data for the page."""
    lines = (line for f in source.functions for line in f.lines)
    numbers = cited("\n".join("".join(text for _, text in line) for line in lines))
    own = [e for e in equations(source.chapter) if e.number in numbers]
    batch = None
    if any(f.name == "batch_norm_train" for f in source.functions):
        batch = _Batch(v)
    return [_entry(e, batch, pool) for e in own]


def _entry(e: Equation, batch: _Batch | None, pool: Pool) -> Data:
    formulas = []
    for name, expressions in e.formulas:
        formula: Data = {"name": name, "text": " = ".join([name, *expressions])}
        if batch is not None and (found := batch.compute(name, expressions)):
            formula |= {**found, "value": pool.add(found["value"])}
        formulas.append(formula)
    backward = all(name.startswith("d") for name, _ in e.formulas)
    return {"number": e.number, "before": e.before, "remark": e.remark, "formulas": formulas,
            "backward": backward}  # fmt: skip


class _Batch:
    """The names of the equations with their values in float64, (N, C, S) or (1, C, 1)."""

    def __init__(self, v: Vertex) -> None:
        self.vertex, held = v, held_by(v)
        x = held["x3"].astype(np.float64)
        self.shape = x.shape
        self.names: Data = {"x": x, "m": x.shape[0] * x.shape[2]}
        known = _parameters(v)
        self.names |= {name: self._column(known[name]) for name in known}
        self.names["eps"] = _eps(v, x, held["inv_std"])
        self.kernel: Data = {"mean": held["mean"], "inv_std": held["inv_std"]}
        self.relu = "kept" in held  # its result, after a relu
        if v.kept is None:
            return
        self.kernel["y_i"] = v.kept.output
        if v.kept.gradient is not None:
            g = v.kept.gradient.reshape(x.shape).astype(np.float64)
            self.names["g"] = g * (held["kept"].reshape(x.shape) > 0) if self.relu else g
            self.kernel |= dict(zip(("dx_i", "dgamma", "dbeta"), v.kept.parts, strict=True))

    def _column(self, value: Any) -> Any:
        return np.asarray(value, np.float64).reshape(1, -1, 1)

    def compute(self, name: str, expressions: list[str]) -> Data:
        """The value of the first expression, how far the others and the kernel's are from it."""
        try:
            values = [evaluate(text, self.names) for text in expressions]
        except ValueError:  # a name without a value: nothing arrived yet, or nobody remembered
            return {}
        value = self.names[name.removesuffix("_i")] = values[0]
        found: Data = {"value": self._shown(value)}
        if len(values) > 1:
            found["apart"] = _distance(values[1], value)
        if self.kernel.get(name) is not None:
            result = np.maximum(value, 0) if name == "y_i" and self.relu else value
            found["kernel"] = _distance(self.kernel[name].reshape(result.shape), result)
        return found

    def _shown(self, value: Any) -> Any:
        if value.shape == self.shape:
            return value.reshape(self.vertex.shape).astype(np.float32)
        return value.reshape(-1)


def _parameters(v: Vertex) -> Data:
    """gamma and beta, as far as they are known; 1 and 0 where the layer has none."""
    held = held_by(v)
    given: Data = {"gamma": 1.0, "beta": 0.0}
    for i, name in enumerate(given, 1):
        if v.kept is not None:
            value = v.kept.inputs[i].value
            given[name] = given[name] if value is None else value
        elif v.node is not None and v.node.parents[i] is not None:
            vertex = next(s for s in v.inputs if s.node is v.node.parents[i])
            given[name] = held.get(name, vertex.value)
        else:
            given[name] = held.get(name, given[name])
    return {name: value for name, value in given.items() if value is not None}


def _eps(v: Vertex, x: Any, inv_std: Any) -> float:
    """The layer's; of a function that was called without one, from the feature that varies least,
    where 1/inv_std² - var has the most digits of it."""
    origin = v.node.origin if v.node is not None else None
    layer = origin.layers[-1] if origin is not None and origin.layers else None
    eps = getattr(layer, "eps", None)
    if isinstance(eps, float):
        return eps
    var = x.var((0, 2))
    c = int(np.argmin(var))
    return float(f"{1 / inv_std[c] ** 2 - var[c]:.3g}")


def _distance(value: Any, exact: Any) -> float | None:
    """The largest difference, in parts of the largest value; None if that is no number."""
    with np.errstate(all="ignore"):
        scale = np.max(np.abs(exact), initial=0) or 1.0
        distance = float(np.max(np.abs(value - exact), initial=0) / scale)
    return distance if np.isfinite(distance) else None
