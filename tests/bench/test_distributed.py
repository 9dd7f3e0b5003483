"""The suite of several processes: its model, and what it measures."""

from __future__ import annotations

from typing import Any

import pytest

from bench import distributed
from bench.distributed import LARGE, MEGABYTE, Model
from bench.rounds import QUICK


def test_the_model_gives_back_what_it_is_made_of() -> None:
    model = Model.of(small=40e-6, large=40e-6 + LARGE / 1e9)
    assert model.latency == pytest.approx(20e-6)
    assert model.bandwidth == pytest.approx(1e9)
    assert model.summed(LARGE, 2) == pytest.approx(40e-6 + LARGE / 1e9)
    assert model.spread(1000, 2) == pytest.approx(20e-6 + 1e-6)
    # ten times the doublings, and all but a 1024th of twice the bytes
    assert model.summed(10**6, 1024) == pytest.approx(400e-6 + 2 * 1023 / 1024 * 1e-3)
    assert model.summed(10**6, 1) == model.spread(10**6, 1) == 0


def test_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def run(ranks: int, steps: int) -> dict[str, Any]:
        asked.append(ranks)
        times = [0.1 + 0.01 * (ranks > 1)] * steps
        return {"steps": times, "small": 2e-3, "large": 2e-3 + 8e-3, "buckets": [MEGABYTE],
                "buffers": [0]}  # fmt: skip

    monkeypatch.setattr(distributed, "_run", run)
    monkeypatch.setattr("bench.limits.cores", lambda: 5)
    rows = {row.name: row for row in distributed.rows(QUICK)}
    assert asked == [1, 2, 4]
    assert rows["2 ranks"].values["step"] == [0.11] * 15
    # 100 ms alone, the sum of 1 MB (2 ms + 1 ms), and the buffer (1 ms)
    assert rows["2 ranks"].values["model"] == [pytest.approx(0.104)] * 15
    assert rows["1024 ranks, expected"].values["model"] == [
        pytest.approx(0.1 + 20e-3 + 2 * 1023 / 1024 * 1e-3 + 10e-3)
    ]
    assert rows["bandwidth"].values["model"] == [pytest.approx(1000)]
    assert rows["gradients of a step, 1 messages"].values["step"] == [1]


@pytest.mark.slow
def test_two_ranks() -> None:
    if not distributed.available():
        pytest.skip("needs MPI")
    found = distributed._run(2, 3)
    assert len(found["steps"]) == 3 and min(found["steps"]) > 0
    assert 0 < found["small"] < found["large"]
    # all parameters of the network, in float32
    assert sum(found["buckets"]) == 4 * sum(
        (3 * 32 * 9 + 32, 32 * 64 * 9 + 64, 64 * 128 * 9 + 128, 2 * (32 + 64 + 128),
         128 * 16 * 256 + 256, 256 * 10 + 10)
    )  # fmt: skip
    assert len(found["buffers"]) == 9
