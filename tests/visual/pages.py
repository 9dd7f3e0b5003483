"""Reading a page that explore() wrote."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import Any

import numpy as np


def told(page: Path) -> dict[str, Any]:
    """The story in a page."""
    text = page.read_text("utf-8")
    found = re.findall(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    assert len(found) == 1
    data: dict[str, Any] = json.loads(found[0])
    return data


def array(story: dict[str, Any], number: int) -> Any:
    """An array of the story."""
    entry = story["arrays"][number]
    dtype = {"Float32": "<f4", "Float64": "<f8", "Int32": "<i4", "Uint8": "u1"}[entry["kind"]]
    return np.frombuffer(base64.b64decode(entry["data"]), dtype).reshape(entry["shown"])


def named(story: dict[str, Any], name: str) -> int:
    """The number of the only vertex of a name."""
    (found,) = [i for i, v in enumerate(story["vertices"]) if v["name"] == name]
    return found


def step(story: dict[str, Any], phase: str, vertex: int | None = None) -> dict[str, Any]:
    """The only step of a phase and vertex."""
    (found,) = [s for s in story["steps"] if s["phase"] == phase and s.get("vertex") == vertex]
    return dict(found)
