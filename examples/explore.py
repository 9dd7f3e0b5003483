"""Write two pages that step through a graph: a small network, and a batch normalisation.

    python examples/explore.py [--quick] [--seed N] [--out DIR]

writes DIR/explore_network.html, the network of the README at its first step, and
DIR/explore_batch_norm.html, six samples of three features, small enough to read every number.
Open them in a browser; they need no network. The arrow keys step forward through the operations,
then back with the gradient.
"""

import argparse
import json
import re
from pathlib import Path
from typing import Any

import minigrad as mg
from minigrad import nn
from minigrad.nn import functional as F


def network(path: Path) -> Path:
    """Do two coordinates have the same sign? One forward, and the backward it would have."""
    x = mg.randn(200, 2)
    y = (x[:, :1] * x[:, 1:] > 0).float()
    model = nn.Sequential(nn.Linear(2, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 1))
    with mg.remember():
        loss = F.binary_cross_entropy_with_logits(model(x), y)
    return mg.explore(loss, path, {"x": x, "y": y, "": model})


def batch_norm(path: Path) -> Path:
    """Features of different mean and spread, and a loss that weighs each output differently."""
    x = (mg.randn(6, 3) * mg.tensor([1.0, 3.0, 0.5]) + mg.tensor([0.0, 2.0, -1.0])).requires_grad_()
    weights = mg.randn(6, 3)  # with equal weights the gradient would be zero: (BN 11)
    layer = nn.BatchNorm1d(3)
    with mg.remember():
        y = layer(x)
        loss = (y * weights).sum()
    return mg.explore(loss, path, {"x": x, "weights": weights, "bn": layer})


def story(page: Path) -> dict[str, Any]:
    """What the page tells is data in it."""
    text = page.read_text("utf-8")
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    assert found
    found_story: dict[str, Any] = json.loads(found[1])
    return found_story


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    parser.add_argument("--quick", action="store_true", help="as it is: it takes seconds")
    parser.add_argument("--out", type=Path, default=Path("out"), help="default: %(default)s")
    flags = parser.parse_args()
    flags.out.mkdir(parents=True, exist_ok=True)
    mg.manual_seed(flags.seed)
    pages = (
        network(flags.out / "explore_network.html"),
        batch_norm(flags.out / "explore_batch_norm.html"),
    )
    for page in pages:
        told = story(page)
        print(f"wrote {page}: {len(told['steps'])} steps, {page.stat().st_size / 1000:.0f} kB")
    formulas = [
        formula
        for vertex in told["vertices"]
        for equation in vertex.get("equations", ())
        for formula in equation["formulas"]
    ]
    worst = max(formula.get("kernel") or 0.0 for formula in formulas)
    numbers = {e["number"] for v in told["vertices"] for e in v.get("equations", ())}
    print(
        f"The {len(numbers)} equations of batch normalisation, computed as they stand in the "
        f"docstring, agree with the kernel to {worst:.0e} of the largest value."
    )


if __name__ == "__main__":
    main()
