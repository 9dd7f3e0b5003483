"""The gallery: it shows every script, and its findings and pictures come from the results."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest

Image = pytest.importorskip("PIL.Image")

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
sys.path.insert(0, str(EXAMPLES))
from support import gallery  # noqa: E402

TEXT = (EXAMPLES / "README.md").read_text("utf-8")
SCRIPTS = sorted(p.stem for p in EXAMPLES.glob("*.py"))
EXPERIMENTS = [s for s in SCRIPTS if "finish(" in (EXAMPLES / f"{s}.py").read_text("utf-8")]
FIGURES = re.findall(r"!\[(.+?)\]\(figures/(\w+)\.png\)", TEXT)


def test_every_script_is_shown():
    assert len(SCRIPTS) > 10
    assert set(re.findall(r"`python examples/(\w+)\.py", TEXT)) == set(SCRIPTS)
    assert sorted(name for _, name in FIGURES) == SCRIPTS


@pytest.mark.parametrize("name", SCRIPTS)
def test_picture(name):
    file = EXAMPLES / "figures" / f"{name}.png"
    assert 10_000 < file.stat().st_size <= gallery.LARGEST
    with Image.open(file) as image:
        assert image.width >= 700


def test_every_experiment_has_a_finding():
    found = {name: text for _, name, text, _ in split(TEXT)}
    assert sorted(found) == EXPERIMENTS
    for name, text in found.items():
        assert re.fullmatch(r"> .{40,}\.\n", text), name


def test_captions_in_korean():
    for _, name in FIGURES:
        after = (
            TEXT.partition(f"figures/{name}.png)")[2].partition("\n#")[0].partition("![")[0]
            + "\n\n"
        )
        caption = re.search(r"<br>(.+?)\n\n", after, re.DOTALL)
        assert caption and len(re.findall("[가-힣]", caption[1])) > 15, name


def split(text: str) -> list[tuple[str, str, str, str]]:
    pattern = r"(<!-- finding: (\w+) -->\n)(.*?)(<!-- end -->)"
    return re.findall(pattern, text, re.DOTALL)


CLAIMS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in TEXT.partition("\n## All claims\n")[2].splitlines()
    if line.startswith("| ")
][1:]
VERDICTS = ("shown", "in part", "not ", "the other way round")


def numbers(text: str) -> list[str]:
    """Every number as it is written, but for a plus and the commas of thousands."""
    found = re.findall(r"(?<![\w.])[-+]?\d[\d,]*(?:\.\d+)?(?:e-?\d+)?", text)
    return [n.lstrip("+").replace(",", "") for n in found]


def unfounded(where: str, findings: dict[str, str]) -> list[tuple[str, str]]:
    """The numbers behind each link that are not in the finding of the script it leads to."""
    _, *parts = re.split(r"\[(\w+)\]\(figures/\1\.png\)", where)
    return [
        (name, number)
        for name, text in zip(parts[::2], parts[1::2], strict=True)
        for number in numbers(text)
        if number not in numbers(findings[name])
    ]


def test_the_table_of_claims_says_what_was_found():
    findings = {name: text for _, name, text, _ in split(TEXT)}
    assert len(CLAIMS) > 30
    for claim, articles, verdict, where in CLAIMS:
        assert set(articles.split(", ")) <= set("ABCDE"), claim
        assert verdict.startswith(VERDICTS), claim
        assert unfounded(where, findings) == [], claim
    assert {a for row in CLAIMS for a in row[1].split(", ")} == set("ABCDE")
    assert sum("](figures/" in row[3] for row in CLAIMS) >= len(CLAIMS) - 1  # one is "the same"


def test_a_number_that_was_not_found_is_seen():
    findings = {"a": "BN 1,068 ± 0.1 %, -0.8 [-1.4, -0.3]", "b": "+2.0 times"}
    right = "[a](figures/a.png): 1,068 and -0.8 [-1.4, -0.3]; [b](figures/b.png), 2.0 times"
    assert unfounded(right, findings) == []
    assert unfounded(right.replace("2.0", "1.9"), findings) == [("b", "1.9")]
    assert unfounded(right.replace("-0.8", "0.8"), findings) == [("a", "0.8")]
    assert unfounded("[b](figures/b.png): 1,068", findings) == [("b", "1068")]


def test_findings_are_renewed_and_nothing_else(tmp_path):
    record = {"finding": "a_b is *5* < 6", "flags": {"quick": True}}
    (tmp_path / "titanic.json").write_text(json.dumps(record), encoding="utf-8")
    new = gallery.with_findings(TEXT, tmp_path)
    assert gallery.with_findings(new, tmp_path) == new
    for old, now in zip(split(TEXT), split(new), strict=True):
        if now[1] == "titanic":
            assert now[2] == "> a\\_b is \\*5\\* \\< 6 (quick version).\n"
        else:
            assert now == old
    rest = re.compile(r"^> .*\n", re.MULTILINE)
    assert rest.sub("", new) == rest.sub("", TEXT)


@pytest.mark.slow
def test_pictures_are_made_small(tmp_path):
    big = tmp_path / "big.png"
    noise = Image.effect_noise((1600, 800), 60)
    noise.save(big)
    content = gallery.small(big)
    assert len(content) <= gallery.LARGEST < big.stat().st_size
    (tmp_path / "small.png").write_bytes(content)
    with Image.open(tmp_path / "small.png") as image:
        assert abs(image.width / image.height - 2) < 0.01
