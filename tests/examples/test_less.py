"""What batch normalisation saves: steps, and other remedies. Run with --quick: what they find."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("matplotlib")
pytest.importorskip("tqdm")
pytest.importorskip("sklearn")

from quick import mnist_folder, run_quick

__all__ = ["mnist_folder"]  # a fixture


@pytest.mark.slow
class TestScripts:
    def test_superfluous(self, mnist_folder, tmp_path):
        record = run_quick("superfluous", mnist_folder, tmp_path)
        changes = record["changes"]
        assert len(changes) == 6
        # A rate that falls too fast leaves the plain network where it was; BN is already near its
        # end. The difference is tens of points, over 15 points on any seed.
        decay = changes["rate falls to 1e-6"]
        assert decay["plain"]["mean"] > 10
        assert decay["BN - plain"]["mean"] < -10
        for row in changes.values():
            assert row["BN - plain"]["mean"] == pytest.approx(
                row["BN"]["mean"] - row["plain"]["mean"]
            )
        errors = {
            net: min(np.mean(r["test"]) for r in record["unchanged"] if r["net"] == net)
            for net in ("plain", "BN")
        }
        assert errors["BN"] < errors["plain"] < 30  # chance would be 90 % wrong

    def test_fewer_epochs(self, mnist_folder, tmp_path):
        record = run_quick("fewer_epochs", mnist_folder, tmp_path)
        factors = {start: s["mean"] for start, s in record["factors"].items()}
        # without He's initialisation the plain network is far slower
        assert factors["default"] > 1.3
        assert factors["default"] > factors["He"]
        for row in record["results"]:
            if row["net"] == "BN":
                assert min(run["curve"][-1] for run in row["runs"]) > 60


# The folder of the examples is on the path: quick puts it there.


def test_orders_shuffle_as_far_as_they_say():
    import superfluous

    def epochs(shuffling: str) -> list[np.ndarray]:
        orders = superfluous.orders(300, shuffling, np.random.default_rng(0))
        return [next(orders) for _ in range(2)]

    never, within, over = (epochs(s) for s in ("never", "within shards", "over all"))
    for first, second in (within, over):
        assert not np.array_equal(first, second)
        assert sorted(first) == sorted(second) == list(range(300))
    assert all(np.array_equal(order, np.arange(300)) for order in never)
    shard = superfluous.SHARD
    assert all(np.array_equal(o // shard, np.arange(300) // shard) for o in within)
    assert not np.array_equal(over[0] // shard, np.arange(300) // shard)


def test_jitter_keeps_within_its_strength():
    import superfluous

    images = np.ones((200, 1, 2, 2), np.float32) * np.array([0, 1], np.float32)
    changed = superfluous.jittered(images, 0.3, np.random.default_rng(0))
    brightness = changed[..., 0]
    contrast = changed[..., 1] - changed[..., 0]
    # 200 draws from a uniform distribution nearly reach its ends
    for values in (brightness, contrast - 1):
        assert 0.28 < np.abs(values).max() <= 0.3 + 1e-6
    assert changed.dtype == np.float32


def test_eight_convolutions_at_two_starts():
    import fewer_epochs

    import minigrad as mg
    from minigrad import nn

    for start, size in (("He", np.sqrt(2 / 72)), ("default", np.sqrt(1 / (3 * 72)))):
        mg.manual_seed(0)
        model = fewer_epochs.build_model(start, batch_norm=False)
        convs = [m for m in model if isinstance(m, nn.Conv2d)]
        assert len(convs) == fewer_epochs.DEPTH
        assert model(mg.zeros(2, 1, 14, 14)).shape == (2, 10)
        # 7 layers of 576 weights: their standard deviation is known to 1/√8064, about 1 %
        std = np.std(np.concatenate([c.weight.detach().numpy().ravel() for c in convs[1:]]))
        assert std == pytest.approx(size, rel=0.05)
    looks = fewer_epochs.looks(600)
    assert looks[0] == 10 and looks[-1] == 600 and looks == sorted(set(looks))
