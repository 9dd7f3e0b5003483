"""explore(): what the page tells, and what is refused. (How it looks: test_page.py.)"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from networks import readme, recurrent, residual
from pages import array, named, step, told

import minigrad as mg
from minigrad import nn, optim
from minigrad.autograd import grad, record
from minigrad.visual.pool import Pool, cut


def test_the_page_of_the_readmes_network_is_one_small_file(tmp_path: Path) -> None:
    _, names, forward = readme()
    with mg.remember():
        loss = forward()
    page = mg.explore(loss, tmp_path / "graph.html", names)
    assert page == tmp_path / "graph.html" and list(tmp_path.iterdir()) == [page]
    text = page.read_text("utf-8")
    assert len(text.encode()) < 1_000_000
    assert not re.findall(r'(?:src|href|url\()\s*=?\s*["\']?(?:https?:)?//', text)
    assert "default-src 'none'" in text
    story = told(page)
    phases = [s["phase"] for s in story["steps"]]
    assert phases == ["begin", *["forward"] * 4, "seed", *["backward"] * 4, "end"]
    order = [story["vertices"][s["vertex"]]["op"] for s in story["steps"] if "vertex" in s]
    assert order[:4] == order[:3:-1]  # back the way it came


def test_arrays_are_those_that_were_computed_to_the_bit(tmp_path: Path) -> None:
    model, names, forward = readme()
    with mg.remember():
        loss = forward()
    story = told(mg.explore(loss, tmp_path / "page.html", names))
    assert all(p.grad is None for p in model.parameters())  # it wrote no gradient
    loss.backward()  # and consumed nothing
    x = named(story, "x")
    np.testing.assert_array_equal(array(story, story["vertices"][x]["value"]), names["x"].array)
    y = model[0](names["x"])
    linear = story["steps"][1]["vertex"]
    np.testing.assert_array_equal(array(story, story["vertices"][linear]["value"]), y.array)
    for path, p in model.named_parameters():
        (leaf,) = [e for e in story["steps"][-1]["leaves"] if e["vertex"] == named(story, path)]
        assert p.grad is not None
        np.testing.assert_array_equal(array(story, leaf["gradient"]), p.grad.array)


def test_after_backward_and_a_step_it_shows_what_was(tmp_path: Path) -> None:
    model, names, forward = readme()
    with mg.remember():
        loss = forward()
    before = told(mg.explore(loss, tmp_path / "a.html", names))
    loss.backward()
    optim.SGD(model.parameters(), lr=1.0).step()
    after = told(mg.explore(loss, tmp_path / "b.html", names))
    assert before == after


def test_how_gradients_arrive_is_what_the_walk_does(tmp_path: Path) -> None:
    a = mg.tensor(2.0, requires_grad=True)
    with mg.remember():
        b = a * 3
        loss = b * b + b
    story = told(mg.explore(loss, tmp_path / "page.html", {"a": a, "b": b}))
    arrivals = step(story, "backward", named(story, "b"))["arrivals"]
    assert [x["how"] for x in arrivals] == [
        "first: borrowed", "second: summed", "third: added in place",
    ]  # fmt: skip
    assert [story["vertices"][x["from"]]["op"] for x in arrivals] == ["add", "mul", "mul"]
    assert [float(array(story, x["array"])) for x in arrivals] == [1.0, 6.0, 6.0]
    total = step(story, "backward", named(story, "b"))["gradient"]
    assert float(array(story, total)) == 13.0


def test_four_arrivals_in_a_recurrent_network(tmp_path: Path) -> None:
    model, forward = recurrent()
    with mg.remember():
        loss = forward()
    story = told(mg.explore(loss, tmp_path / "page.html", model))
    leaf = next(
        e for e in story["steps"][-1]["leaves"] if e["vertex"] == named(story, "inner.bias")
    )
    assert [x["how"].split(":")[0] for x in leaf["arrivals"]] == ["first", "second", "third", "4th"]
    loss.backward()
    expected = model.get_parameter("inner.bias").grad
    assert expected is not None
    np.testing.assert_allclose(array(story, leaf["gradient"]), expected.array, rtol=1e-5)


def test_memory_rises_and_falls_and_what_is_freed_is_said(tmp_path: Path) -> None:
    x = mg.ones(1000).requires_grad_()
    with mg.remember():
        y = x.exp()  # holds its result, 4 kB
        z = y * y  # holds the same
        loss = z.sum()
    story = told(mg.explore(loss, tmp_path / "page.html", {"x": x, "y": y, "z": z}))
    assert [s["kept"] for s in story["steps"]] == [0, 4000, 4000, 4000, 4000, 4000, 4000, 0, 0]
    (of_z,) = step(story, "backward", named(story, "z"))["frees"][:1]
    (of_y,) = step(story, "backward", named(story, "y"))["frees"]
    assert (
        of_z["still"] and not of_y["still"] and of_y == {"name": "y", "bytes": 4000, "still": False}
    )
    held = step(story, "forward", named(story, "z"))["held"]
    assert held[0]["same"] == named(story, "y")


def test_an_ordinary_loss_has_structure_formulas_and_what_is_held(tmp_path: Path) -> None:
    model, _, forward = readme()
    story = told(mg.explore(forward(), tmp_path / "page.html", model))
    assert not story["remembered"]
    norm = named(story, "batch_norm_relu")
    held = {h["name"]: h for h in step(story, "forward", norm)["held"]}
    assert set(held) == {"x3", "mean", "inv_std", "gamma", "kept"}
    assert array(story, held["x3"]["array"]).shape == (200, 16, 1)
    assert "line" not in story["vertices"][norm] and story["vertices"][norm]["value"] is None
    assert [e["number"] for e in story["vertices"][norm]["equations"]] == [
        f"BN {i}" for i in range(1, 12)
    ]
    arrivals = step(story, "backward", norm)["arrivals"]
    assert arrivals[0]["array"] is None and arrivals[0]["how"] == "first: borrowed"
    assert all(p.grad is None for p in model.parameters())


def test_lines_and_sources(tmp_path: Path) -> None:
    x = mg.ones(3).requires_grad_()
    with mg.remember():
        loss = (x * x).sum()  # a remark </script><script>alert(1)</script> & "so on"
    page = mg.explore(loss, tmp_path / "page.html", {"<b>x</b>": x})
    text = page.read_text("utf-8")
    assert text.count("</script>") == 2 and "<b>x" not in text
    line = told(page)["vertices"][1]["line"]
    assert line["file"] == "test_explore.py" and line["text"].endswith('& "so on"')
    source = told(page)["sources"][told(page)["vertices"][1]["source"]]
    assert source["formula"] == ["y = a·b", "dL/da = g·b", "dL/db = g·a"]


def test_a_gradient_for_an_output_that_is_no_scalar(tmp_path: Path) -> None:
    x = mg.randn(3).requires_grad_()
    with mg.remember():
        y = x * x
    g = mg.randn(3)
    story = told(mg.explore(y, tmp_path / "page.html", {"x": x}, gradient=g))
    assert story["loss"] is None
    leaf = story["steps"][-1]["leaves"][0]
    np.testing.assert_allclose(array(story, leaf["gradient"]), 2 * x.array * g.array, rtol=1e-6)


def test_a_hook_that_changes_a_gradient_is_noticed(tmp_path: Path) -> None:
    x = mg.randn(3).requires_grad_()
    with mg.remember():
        y = x * x
        loss = y.sum()
    y.register_hook(lambda g: g * 10)
    story = told(mg.explore(loss, tmp_path / "page.html", {"y": y}))
    changed = step(story, "backward", named(story, "y"))
    assert changed["changed"] and array(story, changed["gradient"]).tolist() == [10.0] * 3
    assert array(story, changed["arrivals"][0]["array"]).tolist() == [1.0] * 3


def test_gradients_of_another_loss_are_not_shown_as_those_of_this_one(tmp_path: Path) -> None:
    x = mg.ones(2).requires_grad_()
    with mg.remember():
        y = x * 2
        first, second = y.sum(), (y * 5).sum()
    second.backward(retain_graph=True)
    story = told(mg.explore(first, tmp_path / "page.html", {"x": x}))
    assert array(story, story["steps"][-1]["leaves"][0]["gradient"]).tolist() == [2.0, 2.0]
    second.backward()
    with pytest.raises(RuntimeError, match="backward of another loss has consumed a part"):
        mg.explore(first, tmp_path / "page.html")


def test_nan_infinity_and_empty_arrays(tmp_path: Path) -> None:
    x = mg.tensor([1.0, -1.0, 0.0]).requires_grad_()
    with mg.remember():
        y = x.log()
        loss = y.sum()
    story = told(mg.explore(loss, tmp_path / "page.html", {"y": y}))
    assert story["loss"] == "nan"
    assert story["problem"] == {"step": 1, "vertex": named(story, "y"), "what": "a NaN"}
    entry = story["arrays"][story["vertices"][named(story, "y")]["value"]]
    assert (entry["nan"], entry["inf"], entry["low"], entry["high"]) == (1, 1, 0.0, 0.0)
    with mg.remember():
        loss = mg.zeros(0, 3).requires_grad_().sum()
    assert told(mg.explore(loss, tmp_path / "page.html"))["loss"] == "0"
    with mg.remember():
        loss = mg.tensor(1000.0, requires_grad=True).exp()
    story = told(mg.explore(loss, tmp_path / "page.html"))
    assert story["problem"]["what"] == "an infinity"


def test_a_nan_counts_for_more_than_an_infinity_before_it(tmp_path: Path) -> None:
    mask = mg.tensor([0.0, -np.inf])  # as of attention
    x = mg.tensor([1.0, -1.0], requires_grad=True)
    with mg.remember():
        loss = (x.log() + mask).sum()
    story = told(mg.explore(loss, tmp_path / "page.html", {"mask": mask}))
    log = named(story, "log")
    assert story["problem"]["what"] == "a NaN"
    assert story["steps"][story["problem"]["step"]] == step(story, "forward", log)


def test_a_nan_that_only_the_gradient_has_is_found(tmp_path: Path) -> None:
    x = mg.tensor([0.0, 4.0], requires_grad=True)
    with mg.remember():
        loss = mg.where(x > 0, x.sqrt() * x.sqrt(), 0.0).sum()  # 0/0 where nobody looks
    assert loss.item() == 4
    story = told(mg.explore(loss, tmp_path / "page.html", {"x": x}))
    found = story["problem"]
    assert found["what"] == "a NaN"
    assert story["steps"][found["step"]]["phase"] == "backward"
    assert story["vertices"][found["vertex"]]["op"] == "sqrt"


def test_what_is_refused_writes_nothing(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text("as it was")
    x = mg.ones(2).requires_grad_()
    with pytest.raises(TypeError, match="explore: expected a Tensor, got float"):
        mg.explore(1.0, page)  # type: ignore[arg-type]
    with pytest.raises(RuntimeError, match="explore: the output does not require grad"):
        mg.explore(mg.ones(()), page)
    with pytest.raises(RuntimeError, match="for a scalar only, got an output of shape"):
        mg.explore(x * 2, page)
    with pytest.raises(RuntimeError, match=r"explore: got a gradient of shape \(3,\)"):
        mg.explore(x * 2, page, gradient=mg.ones(3))
    with pytest.raises(RuntimeError, match="the tensor is a leaf"):
        mg.explore(mg.tensor(1.0, requires_grad=True), page)
    with pytest.raises(TypeError, match="names must be"):
        mg.explore(x.sum(), page, 3)  # type: ignore[arg-type]
    y = x.sum()
    y.backward()
    with pytest.raises(RuntimeError, match="consumed 'sum'"):
        mg.explore(y, page)
    for _ in range(1000):
        x = x + 1
    with pytest.raises(ValueError, match=r"explore: 1,002 boxes are too many to look at"):
        mg.explore(x.sum(), page)
    with pytest.raises(FileNotFoundError):
        mg.explore(mg.ones(1).requires_grad_().sum(), tmp_path / "no folder" / "page.html")
    assert page.read_text() == "as it was" and list(tmp_path.iterdir()) == [page]


def test_an_op_whose_source_nobody_knows(tmp_path: Path) -> None:
    x = mg.ones(2).requires_grad_()
    names: dict[str, Any] = {"record": record}
    exec("def op(x): return record('secret', x.array * 1, (x,), lambda g: g)", names)
    with mg.remember():
        loss = names["op"](x).sum()
    story = told(mg.explore(loss, tmp_path / "page.html"))
    assert "source" not in story["vertices"][named(story, "secret")]


def test_statistics_parameters_and_random_numbers_stay(tmp_path: Path) -> None:
    model, names, forward = readme()
    with mg.remember():
        loss = forward()
    state = {k: v.array.copy() for k, v in model.state_dict().items()}
    random = mg.get_rng_state()
    mg.explore(loss, tmp_path / "page.html", names)
    for key, value in model.state_dict().items():
        np.testing.assert_array_equal(value.array, state[key])
    assert json.dumps(random, default=str) == json.dumps(mg.get_rng_state(), default=str)
    assert grad(loss, model.get_parameter("0.weight"))[0] is not None  # it can be used still


def test_a_large_network_stays_within_its_room(tmp_path: Path) -> None:
    images = mg.randn(64, 3, 32, 32)
    model = nn.Sequential(nn.Conv2d(3, 32, 3), nn.BatchNorm2d(32), nn.ReLU(), nn.Flatten(),
                          nn.Linear(32 * 900, 10))  # fmt: skip
    with mg.remember():
        loss = nn.functional.cross_entropy(model(images), mg.zeros(64).long())
    page = mg.explore(loss, tmp_path / "page.html", model)
    assert page.stat().st_size < 1_500_000
    story = told(page)
    entry = story["arrays"][story["vertices"][named(story, "data")]["value"]]
    assert entry["shape"] == [64, 3, 32, 32] and entry["shown"][2:] == [32, 32]
    number = story["vertices"][named(story, "data")]["value"]
    shown = array(story, number)
    np.testing.assert_array_equal(shown, images.array[tuple(map(slice, shown.shape))])
    assert entry["mean"] == pytest.approx(images.array.mean(), rel=1e-4)


def test_a_residual_network(tmp_path: Path) -> None:
    model, forward = residual()
    with mg.remember():
        loss = forward()
    story = told(mg.explore(loss, tmp_path / "page.html", model))
    assert len(story["steps"]) == 2 * sum(v["kind"] == "op" for v in story["vertices"]) + 3


# ---------------------------------------------------------------------------- arrays


@pytest.mark.parametrize(
    "value",
    [
        np.float32([[1.5, -2.25]]), np.float64([1 / 3, 1e300]), np.float16([1.5, 65504]),
        np.array([True, False]), np.arange(-3, 4), np.array([1 << 40]), np.array(7.0),
        np.zeros((0, 3)), np.array([1, 255], np.uint8), np.float32([np.nan, np.inf, -np.inf]),
        np.arange(12.0).reshape(3, 4).T, np.array([3.0, 1.0], ">f8"),
    ],
    ids=lambda a: f"{a.dtype}{a.shape}",
)  # fmt: skip
def test_arrays_survive_exactly(value: Any) -> None:
    pool = Pool()
    number = pool.add(value)
    assert pool.add(value) == number == 0 and pool.add(None) is None
    story = {"arrays": json.loads(json.dumps(pool.dump(), allow_nan=False))}
    np.testing.assert_array_equal(array(story, 0), value)
    assert story["arrays"][0]["dtype"] == str(value.dtype)


@pytest.mark.parametrize(
    "shape, limit, shown",
    [
        ((64, 16, 28, 28), 4096, (1, 5, 28, 28)), ((200, 16), 1024, (64, 16)), ((), 64, ()),
        ((100000,), 64, (64,)), ((3, 3), 64, (3, 3)), ((2, 1000, 1000), 64, (1, 1, 64)),
    ],
)  # fmt: skip
def test_first_axes_are_cut_first(shape: Any, limit: int, shown: Any) -> None:
    assert cut(shape, limit) == shown


def test_the_smallest_integer_is_told() -> None:
    pool = Pool()
    pool.add(np.array([-(1 << 63), 5]))
    assert array({"arrays": pool.dump()}, 0).tolist() == [-(2.0**63), 5]
