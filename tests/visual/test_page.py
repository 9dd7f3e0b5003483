"""The page in a browser: steps, keys, numbers, both sizes, dark mode; a console without words."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from networks import readme, recurrent, residual
from pages import array, named, told

import minigrad as mg
from minigrad import nn

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed"), pytest.mark.slow,
]  # fmt: skip
FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip
SIZES = {"wide": (1280, 800), "small": (800, 600)}


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as p:
        found = p.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield found
        found.close()


class Reader:
    """Somebody who looks at a page."""

    def __init__(self, browser: Any, page: Path, size: str = "wide", scheme: str = "light") -> None:
        width, height = SIZES[size]
        self.context = browser.new_context(
            viewport={"width": width, "height": height}, color_scheme=scheme, offline=True
        )
        self.page = self.context.new_page()
        self.complaints: list[str] = []
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.requests: list[str] = []
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(page.as_uri())
        self.story = told(page)

    def close(self) -> None:
        """Nothing went wrong, and nothing else was asked for."""
        assert not self.complaints
        assert len(self.requests) == 1
        self.context.close()

    @property
    def step(self) -> int:
        """The number of the step that is shown, from 0."""
        shown, _, count = self.page.locator("#count").inner_text().partition(" / ")
        assert int(count) == len(self.story["steps"])
        return int(shown) - 1

    @property
    def heading(self) -> str:
        return str(self.page.locator("#step h2").inner_text())

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)

    def text(self) -> str:
        return str(self.page.locator("#step").inner_text())


@pytest.fixture
def read(browser: Any) -> Iterator[Any]:
    readers: list[Reader] = []

    def open_(page: Path, *how: str) -> Reader:
        readers.append(Reader(browser, page, *how))
        return readers[-1]

    yield open_
    for reader in readers:
        reader.close()


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    mg.manual_seed(0)
    _, names, forward = readme()
    with mg.remember():
        loss = forward()
    return mg.explore(loss, tmp_path_factory.mktemp("page") / "network.html", names)


@pytest.fixture(scope="module")
def batch_norm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    mg.manual_seed(0)
    x = mg.randn(6, 3).requires_grad_()
    layer = nn.BatchNorm1d(3)
    with mg.remember():
        loss = (layer(x) * mg.randn(6, 3)).sum()
    return mg.explore(loss, tmp_path_factory.mktemp("page") / "norm.html", {"x": x, "bn": layer})


# ---------------------------------------------------------------------------- going through


def test_through_all_steps_and_back_by_arrow_keys(read: Any, network: Path) -> None:
    reader = read(network)
    names = []
    for i, step in enumerate(reader.story["steps"]):
        assert reader.step == i
        if "vertex" in step:
            assert reader.heading == reader.story["vertices"][step["vertex"]]["op"]
        names.append(reader.heading)
        reader.press("ArrowRight")
    assert reader.step == len(names) - 1  # the end stays the end
    for name in reversed(names):
        assert reader.heading == name
        reader.press("ArrowLeft")
    assert reader.step == 0


def test_other_keys_and_buttons_and_the_slider(read: Any, network: Path) -> None:
    reader = read(network)
    page, last = reader.page, len(reader.story["steps"]) - 1
    reader.press("End")
    assert reader.step == last
    assert page.locator("#next").is_disabled() and page.locator("#last").is_disabled()
    reader.press("Home")
    assert reader.step == 0 and page.locator("#back").is_disabled()
    reader.press("b")
    assert reader.story["steps"][reader.step]["phase"] == "seed"
    reader.press("f")
    assert reader.step == 1
    for button, expected in (("next", 2), ("next", 3), ("back", 2), ("last", last), ("first", 0)):
        page.locator(f"#{button}").click()
        assert reader.step == expected
    page.locator("#slider").focus()
    reader.press("ArrowRight", "ArrowRight")
    assert reader.step == 2
    page.locator("#slider").fill("5")
    assert reader.step == 5
    page.reload()
    assert reader.step == 5  # the address remembers it
    reader.requests.pop()


def test_a_click_on_a_box_goes_to_its_step(read: Any, network: Path) -> None:
    reader = read(network)
    number = named(reader.story, "batch_norm_relu")
    reader.page.locator(f"#v{number}").click()
    assert reader.heading == "batch_norm_relu" and reader.page.locator(".tag.forward").count() == 1
    reader.press("End")
    reader.page.locator(f"#v{number}").click()
    assert reader.heading == "batch_norm_relu" and reader.page.locator(".tag.backward").count() == 1


def test_everything_can_be_reached_by_the_keyboard(read: Any, network: Path) -> None:
    reader = read(network)
    reader.press("ArrowRight")
    reached = []
    for _ in range(40):
        reader.press("Tab")
        reached.append(reader.page.evaluate("document.activeElement.id || "
                                            "document.activeElement.className"))  # fmt: skip
    assert {"first", "next", "slider", "picture", "map"} <= set(reached)
    assert any("source" in name or name == "" for name in reached)  # links and the source


def test_the_picture_follows(read: Any, network: Path) -> None:
    reader = read(network)
    page, story = reader.page, reader.story
    linear = story["steps"][1]["vertex"]
    weight = named(story, "0.weight")
    assert page.locator(f"#v{linear}.todo").count() == 1
    reader.press("ArrowRight")
    assert page.locator(f"#v{linear}.now").count() == 1
    assert page.locator(f"#e{weight}-{linear}.flow").count() == 1
    reader.press("End", "ArrowLeft")  # its backward, the last
    assert page.locator(f"#v{linear}.now").count() == 1
    assert page.locator(f"#e{weight}-{linear}.back").count() == 1
    assert page.locator(f"#v{weight}.graded").count() == 1
    assert page.locator("g.freed").count() == 3
    x = named(story, "x")
    assert page.locator(f"#e{x}-{linear}.back").count() == 0  # no gradient goes to data


# ---------------------------------------------------------------------------- numbers


def hovered(reader: Reader, map_: Any, row: int, column: int, rows: int, columns: int) -> str:
    box = map_.locator("canvas").bounding_box()
    reader.page.mouse.move(
        box["x"] + (column + 0.5) * box["width"] / columns,
        box["y"] + (row + 0.5) * box["height"] / rows,
    )
    return str(reader.page.locator("#tip").inner_text())


def same(text: str, index: tuple[int, ...], value: Any) -> None:
    where, _, shown = text.partition(" = ")
    assert where == f"[{', '.join(map(str, index))}]"
    assert float(shown) == pytest.approx(float(value), rel=1e-6)


def test_a_heat_map_tells_the_numbers_of_the_array(read: Any, network: Path) -> None:
    reader = read(network)
    reader.press("ArrowRight")
    linear = reader.story["steps"][1]["vertex"]
    value = array(reader.story, reader.story["vertices"][linear]["value"])
    assert value.shape == (200, 16)
    map_ = reader.page.locator("#step figure .map").first
    for sample, feature in ((0, 0), (199, 15), (77, 3)):  # samples go across
        same(
            hovered(reader, map_, feature, sample, 16, 200),
            (sample, feature),
            value[sample, feature],
        )
    map_.focus()
    before = reader.step
    reader.press("ArrowRight", "ArrowDown", "ArrowDown", "ArrowLeft", "ArrowRight", "ArrowRight")
    row, column = 2 + 3, 77 + 2
    same(reader.page.locator("#tip").inner_text(), (column, row), value[column, row])
    assert reader.step == before  # they moved in the map
    reader.press("Escape", "ArrowRight")
    assert reader.step == before + 1 and reader.page.locator("#tip").is_hidden()


def test_the_script_decodes_what_python_encoded(read: Any, network: Path) -> None:
    reader = read(network)
    for number in range(len(reader.story["arrays"])):
        seen = reader.page.evaluate(f"values(arrays[{number}])")
        np.testing.assert_array_equal(seen, array(reader.story, number).reshape(-1))


def test_few_numbers_stand_in_their_cells(read: Any, batch_norm: Path) -> None:
    reader = read(batch_norm)
    x = array(reader.story, reader.story["vertices"][named(reader.story, "x")]["value"])
    figure = reader.page.locator("figure", has_text="x (6, 3) float32")
    cells = figure.locator(".cells span").all_inner_texts()
    shown = np.array(cells, float).reshape(3, 6).T  # samples go across
    np.testing.assert_allclose(shown, x, rtol=6e-3)
    figure.locator(".cells span").nth(7).hover()
    same(reader.page.locator("#tip").inner_text(), (1, 1), x[1, 1])


def test_axes_before_the_last_two_are_chosen(read: Any, tmp_path: Path) -> None:
    x = mg.randn(2, 3, 7, 8).requires_grad_()
    with mg.remember():
        loss = (x * 1).sum()
    reader = read(mg.explore(loss, tmp_path / "page.html", {"x": x}))
    figure = reader.page.locator("figure").first
    figure.get_by_label("index of axis 0").fill("1")
    figure.get_by_label("index of axis 0").press("Enter")
    figure.get_by_label("index of axis 1").fill("2")
    figure.get_by_label("index of axis 1").press("Tab")
    same(hovered(reader, figure.locator(".map"), 6, 5, 7, 8), (1, 2, 6, 5), x.array[1, 2, 6, 5])


# ---------------------------------------------------------------------------- batch normalisation


def test_the_eleven_equations_with_the_numbers_of_this_batch(read: Any, batch_norm: Path) -> None:
    reader = read(batch_norm)
    story = reader.story
    x = array(story, story["vertices"][named(story, "x")]["value"]).astype(np.float64)
    reader.press("ArrowRight")
    page = reader.page
    assert reader.heading == "batch_norm"
    values, numbers = page.locator(".equation .value"), page.locator(".equation .number")
    assert numbers.all_inner_texts() == [
        "(BN 1)", "(BN 2)", "(BN 3)", "", "(BN 4)",
    ]  # fmt: skip
    assert "var = Σ (x_i - mean)² / m" in reader.text()
    page.get_by_label("feature").fill("2")
    page.get_by_label("value").fill("4")
    shown = [
        float(t.removeprefix("= ")) for t in page.locator(".equation .value").all_inner_texts()
    ]
    mean, var = x[:, 2].mean(), x[:, 2].var()
    inv_std = 1 / np.sqrt(var + 1e-5)
    x_hat = (x[4, 2] - mean) * inv_std
    np.testing.assert_allclose(shown, [mean, var, inv_std, x_hat, x_hat], rtol=1e-6)
    page.locator('.equation[data-number="BN 4"] .cells span').nth(3).click()  # feature 0, value 3
    assert page.get_by_label("value").input_value() == "3"
    reader.press("End", "ArrowLeft")
    assert page.locator(".equation .number").all_inner_texts() == [
        f"(BN {i})" for i in range(5, 12)
    ]
    ends = [e for e in story["steps"][-1]["leaves"] if e["vertex"] == named(story, "x")]
    dx = array(story, ends[0]["gradient"])
    for text in values.all_inner_texts()[-2:]:  # (BN 10) and (BN 11): two ways to the same number
        assert float(text.removeprefix("= ")) == pytest.approx(dx[3, 0], rel=1e-4, abs=1e-6)


# ---------------------------------------------------------------------------- legible everywhere


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
def test_nothing_is_cut_off_or_too_faint(read: Any, network: Path, size: str, scheme: str) -> None:
    reader = read(network, size, scheme)
    page = reader.page
    width, height = SIZES[size]
    for _ in reader.story["steps"]:
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.evaluate("document.documentElement.scrollHeight") <= height
        for part in ("header", "#picture", "#memory", "#step", "footer"):
            box = page.locator(part).bounding_box()
            assert box["x"] >= 0 and box["x"] + box["width"] <= width + 1
            assert box["y"] >= 0 and box["y"] + box["height"] <= height + 1
            assert box["height"] >= 20
        wide = page.evaluate("document.getElementById('step').scrollWidth - "
                             "document.getElementById('step').clientWidth")  # fmt: skip
        assert wide <= 0
        assert not {"null", "undefined", "NaN"} & set(reader.text().split())
        assert page.evaluate(SMALLEST) >= 11
        assert page.evaluate(FAINTEST) >= 4.5
        reader.press("ArrowRight")


# The smallest text outside of the picture, and the least contrast (WCAG 2) of text with its ground.
SMALLEST = """Math.min(...[...document.querySelectorAll("header *, #step *, footer *")]
  .filter((e) => e.innerText?.trim()).map((e) => parseFloat(getComputedStyle(e).fontSize)))"""
FAINTEST = """(() => {
  const parse = (c) => (c.match(/[\\d.]+/g) ?? []).map(Number);
  const light = (c) => { const [r, g, b] = c.slice(0, 3).map((v) => v / 255)
    .map((v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
  const ground = (e) => { for (; e; e = e.parentElement) {
    const c = parse(getComputedStyle(e).backgroundColor);
    if (c.length === 3 || c[3] > 0.99) return c; } return [255, 255, 255]; };
  const own = (e) => [...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim());
  let least = 21;
  for (const e of document.querySelectorAll("header *, #step *, #notice *, footer *")) {
    if (!own(e) || e.disabled || e.closest("svg, pre, .cells")) continue;
    const [a, b] = [light(parse(getComputedStyle(e).color)), light(ground(e))];
    least = Math.min(least, (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05));
  }
  return least;
})()"""


@pytest.mark.parametrize("which", [residual, recurrent])
def test_larger_graphs_scroll_to_what_is_shown(read: Any, tmp_path: Path, which: Any) -> None:
    model, forward = which()
    with mg.remember():
        loss = forward()
    reader = read(mg.explore(loss, tmp_path / "page.html", model), "small")
    room = reader.page.locator("#picture").bounding_box()
    for step in reader.story["steps"]:
        if "vertex" in step:
            box = reader.page.locator(f"#v{step['vertex']} rect").bounding_box()
            assert room["x"] - 1 <= box["x"] and room["y"] - 1 <= box["y"]
            assert box["x"] + box["width"] <= room["x"] + room["width"] + 1
            assert box["y"] + box["height"] <= room["y"] + room["height"] + 1
        reader.press("ArrowRight")


def test_what_the_user_wrote_is_text(read: Any, tmp_path: Path) -> None:
    x = mg.ones(3).requires_grad_()
    with mg.remember():
        loss = (x * x).sum()  # </script><img src=x onerror="document.title='broken'"> & "q"
    name = "<img src=x onerror=alert(1)>"
    reader = read(mg.explore(loss, tmp_path / "page.html", {name: x}))
    reader.press("ArrowRight")
    assert '</script><img src=x onerror="document.title=\'broken\'"> & "q"' in reader.text()
    assert name in reader.text()
    assert reader.page.locator("img").count() == 0
    assert reader.page.title() == "loss = 3 · minigrad"


def test_a_nan_is_pointed_out(read: Any, tmp_path: Path) -> None:
    x = mg.tensor([1.0, -1.0, 0.0] * 20).requires_grad_()
    with mg.remember():
        loss = x.log().sum()
    reader = read(mg.explore(loss, tmp_path / "page.html"))
    assert (
        "There is a NaN in this graph, first in log" in reader.page.locator("#notice").inner_text()
    )
    reader.page.locator("#notice button").click()
    assert reader.heading == "log"
    assert "20 × NaN" in reader.text() and "20 × ∞" in reader.text()
    map_ = reader.page.locator("#step figure .map").first
    assert hovered(reader, map_, 0, 1, 1, 60) == "[1] = NaN"
    assert hovered(reader, map_, 0, 2, 1, 60) == "[2] = -∞"


def test_an_ordinary_loss_says_how_to_see_the_rest(read: Any, tmp_path: Path) -> None:
    model, _, forward = readme()
    reader = read(mg.explore(forward(), tmp_path / "page.html", model))
    assert "with minigrad.remember():" in reader.page.locator("#notice").inner_text()
    for _ in reader.story["steps"]:
        reader.press("ArrowRight")
