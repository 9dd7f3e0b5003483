"""The experiments about recurrent networks and style, run with --quick: what they find."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("matplotlib")
pytest.importorskip("tqdm")
pytest.importorskip("sklearn")

from quick import mnist_folder, of_mnist, run_quick

import minigrad as mg

__all__ = ["mnist_folder"]  # a fixture


@pytest.fixture(scope="module")
def recurrent_results(mnist_folder, tmp_path_factory):
    return run_quick("recurrent", mnist_folder, tmp_path_factory.mktemp("recurrent"))["results"]


def _reach(results):
    """By which power of ten the gradient has changed over 28 steps, per seed."""
    return {
        norm: np.log10([max(g[0], 1e-30) / g[-1] for g in seeds])
        for norm, seeds in results["gradients"]["RNN"].items()
    }


@pytest.mark.slow
def test_recurrent_gradients_fade(recurrent_results):
    reach = _reach(recurrent_results)
    assert max(reach["none"]) < -5
    assert reach["LN"].mean() > reach["none"].mean()
    assert reach["BN"].mean() < reach["none"].mean()


@pytest.mark.slow
@of_mnist
def test_recurrent(recurrent_results):
    # the gradient fades far less with layer normalisation, and more with gamma 0.1
    reach = _reach(recurrent_results)
    assert min(reach["LN"]) > max(reach["none"]) + 2
    assert max(reach["BN"]) < min(reach["none"]) - 2
    (first, *_), small = (
        [r for r in recurrent_results["images"] if (r["rate"], r["batch"]) == (0.005, batch)]
        for batch in (32, 2)
    )
    end = {
        (batch, name): np.mean([curve[-1] for curve in curves])
        for batch, run in ((32, first), (2, small[0]))
        for name, curves in run["error"].items()
    }
    # what two images have in common is no statistic, and what all the steps have is of none
    assert end[2, "BN per step"] > end[2, "none"] + 5
    assert end[32, "BN pooled"] > end[32, "BN per step"] + 5


def test_statistics_of_each_step():
    import recurrent  # what run_quick finds too: the folder is on the path

    mg.manual_seed(0)
    norm = recurrent.StepNorm(4, steps=2)
    batches = [3 + mg.randn(50, 4), 2 * mg.randn(50, 4) - 1]
    norm.collecting = True
    expected = [norm(x, t) for t, x in enumerate(batches)]
    norm.collecting = False
    norm.eval()
    for t, x in enumerate(batches):
        # the stored variance is m/(m - 1) of the one that normalised: 1 % of gamma 0.1 and x_hat 3
        assert (norm(x, t) - expected[t]).abs().max().item() < 0.01
        assert np.allclose(norm.mean[t].numpy(), x.numpy().mean(axis=0), atol=1e-5)
    norm.pooled = True
    both = mg.cat([norm(x, t) for t, x in enumerate(batches)]).detach().numpy()
    assert np.allclose(both.mean(axis=0), 0, atol=1e-5)
    assert np.allclose(both.std(axis=0), 0.1, rtol=0.02)  # gamma; m/(m - 1) again


def test_layer_norm_in_the_cell_is_of_one_sample():
    import recurrent

    for cell in recurrent.CELLS:
        mg.manual_seed(1)
        layer = recurrent.Recurrent(cell, "LN", inputs=3, steps=5)
        x = mg.randn(5, 4, 3)
        for all_four, alone in zip(layer(x), layer(x[:, :1]), strict=True):
            assert np.allclose(all_four[:1].detach().numpy(), alone.detach().numpy(), atol=1e-6)


@pytest.mark.parametrize("cell", ["RNN", "GRU", "LSTM"])
def test_cells_without_normalisation_are_those_of_the_package(cell):
    import recurrent

    mg.manual_seed(2)
    layer = recurrent.Recurrent(cell, "none", inputs=3, steps=5)
    size = recurrent.SIZE
    other = getattr(mg.nn, cell)(3, size)
    # the blocks of an LSTM are i, f, o, z here and i, f, z, o there
    order = [0, 1, 3, 2] if cell == "LSTM" else list(range(recurrent.CELLS[cell]))
    rows = np.concatenate([np.arange(size) + size * block for block in order])
    state = {
        "weight_ih_l0": layer.weight_ih.array[rows],
        "weight_hh_l0": layer.weight_hh.array[rows],
        "bias_ih_l0": np.zeros(len(rows), np.float32),
        "bias_hh_l0": np.zeros(len(rows), np.float32),
    }
    other.load_state_dict({name: mg.from_numpy(value) for name, value in state.items()})
    x = mg.randn(5, 4, 3)
    ours = mg.stack(layer(x)).detach().numpy()
    assert np.allclose(ours, other(x)[0].detach().numpy(), atol=1e-5)


@pytest.fixture(scope="module")
def style_record(mnist_folder, tmp_path_factory):
    return run_quick("style", mnist_folder, tmp_path_factory.mktemp("style"))


@pytest.mark.slow
def test_style(style_record):
    runs = style_record["results"]["one style"]
    style = {key.split(", ")[1]: np.mean([run["style"] for run in of]) for key, of in runs.items()}
    assert set(style) == {"none", "BN", "IN"}
    assert style["IN"] < style["none"]
    likeness = style_record["in_minus"]["none"]["likeness, faint"]
    assert likeness["mean"] > 0.1


@pytest.mark.slow
@of_mnist
def test_the_index_decides_about_the_style(style_record):
    for seed in np.array(style_record["results"]["all styles"]["IN"]):
        assert (seed.argmin(axis=1) == np.arange(len(seed))).all()


def test_painted_styles_do_not_depend_on_the_batch():
    import style

    mg.manual_seed(0)
    painter = style.Painter("IN", 4)
    x, number = mg.rand(3, 3, 28, 28), mg.tensor([2, 0, 1])
    mg.manual_seed(1)
    together = painter(x, number).detach().numpy()
    mg.manual_seed(1)  # the noise comes in the order of the pictures
    alone = painter(x[:1], number[:1]).detach().numpy()
    assert together.shape == (3, 3, 28, 28)
    assert np.allclose(together[:1], alone, atol=1e-5)


def test_gram_matrices():
    import style

    features = mg.randn(2, 3, 4, 5)
    flat = features.numpy().reshape(2, 3, 20)
    expected = np.einsum("nap,nbp->nab", flat, flat) / 20
    assert np.allclose(style.gram(features).numpy(), expected, atol=1e-6)
