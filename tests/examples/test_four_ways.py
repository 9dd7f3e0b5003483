"""The example that computes batch normalisation in four ways."""

from __future__ import annotations

import pytest
from quick import run_quick


@pytest.mark.slow
def test_four_ways_agree(tmp_path):
    pytest.importorskip("numba")
    record = run_quick("batch_norm_four_ways", tmp_path / "no data", tmp_path / "out")
    assert record["finding"].startswith("The four ways agree to")
    for ways in record["results"].values():
        assert len(ways) == 4
        for row in ways.values():
            assert set(row["difference"]) == {"y", "dx", "dgamma", "dbeta"}
            assert max(row["difference"].values()) < 1e-12
            assert row["ms"] > 0
