"""Bring the gallery, examples/README.md, up to date with results.

    python examples/support/gallery.py [--out DIR]

writes the finding of every DIR/NAME.json between its marks in examples/README.md, and a small copy
of every DIR/NAME.png that the gallery shows into examples/figures. What DIR does not have stays.
"""

import argparse
import io
import json
import os
import re
from pathlib import Path

from PIL import Image

HERE = Path(__file__).resolve().parents[1]
LARGEST = 150_000  # bytes of a picture
MARKED = re.compile(r"(<!-- finding: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def finding(record: dict) -> str:
    """The record's finding as a quotation, without characters that Markdown would interpret."""
    text = re.sub(r"([*_<\\])", r"\\\1", record["finding"].strip().rstrip("."))
    return f"> {text}{' (quick version)' if record['flags'].get('quick') else ''}.\n"


def with_findings(text: str, folder: Path) -> str:
    """The gallery's text with the findings of the records in the folder."""

    def replace(match: re.Match) -> str:
        file = folder / f"{match[2]}.json"
        if not file.exists():
            return match[0]
        return match[1] + finding(json.loads(file.read_text("utf-8"))) + match[3]

    return MARKED.sub(replace, text)


def small(picture: Path) -> bytes:
    """The picture as a PNG of few colours, as wide as its size in bytes allows."""
    with Image.open(picture) as opened:
        image = opened.convert("RGB")
    for width in range(min(1300, image.width), 300, -50):
        height = round(image.height * width / image.width)
        copy = image.resize((width, height), Image.Resampling.LANCZOS)
        # coverage: thin lines keep their colours, which the usual median cut would merge
        copy = copy.quantize(256, Image.Quantize.MAXCOVERAGE, kmeans=1, dither=Image.Dither.NONE)
        copy.save(stream := io.BytesIO(), "PNG", optimize=True)
        if stream.tell() <= LARGEST:
            break
    return stream.getvalue()


def replace(path: Path, content: bytes) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_bytes(content)
    os.replace(temporary, path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("out"), help="default: %(default)s")
    folder = parser.parse_args().out
    gallery = HERE / "README.md"
    old = gallery.read_text("utf-8")
    new = with_findings(old, folder)
    for name in dict.fromkeys(re.findall(r"\(figures/(\w+)\.png\)", new)):
        if (picture := folder / f"{name}.png").exists():
            replace(HERE / "figures" / f"{name}.png", small(picture))
            print(f"figures/{name}.png")
    if new != old:
        replace(gallery, new.encode())
        print("README.md")


if __name__ == "__main__":
    main()
