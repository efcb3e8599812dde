"""Knows rows of results that the tests of the harness share."""

from typing import Any

import pytest


@pytest.fixture
def make_row() -> Any:
    """Sound rows of a results file: an implementation, its rate, and what differs from 16 pictures of 512 x 512."""
    from benchmarks.schema import WHERE_FIELDS

    def make(implementation: str, per_second: float = 100.0, **changes: Any) -> dict[str, Any]:
        row: dict[str, Any] = {
            "case": "render",
            "implementation": implementation,
            "ours": implementation in ("reference", "cpu", "triton", "triton-graph"),
            "note": "",
            "antialiased": True,
            "run": "2026-01-02T03:04:05+00:00",
            "commit": "0123456789" * 4,
            "code": "0123456789ab",
            "device": "A Processor",
            "kind": "cpu",
            "threads": 2,
            "versions": {"python": "3.11.7", "triton": None},
        }
        if "skipped" in changes:
            return row | changes
        assert row.keys() == WHERE_FIELDS.keys()
        batch = changes.get("batch", 16)
        median = batch / per_second
        row |= {
            "seed": 7,
            "size": "512x512",
            "batch": batch,
            "few": False,
            "meshes": batch,
            "channels": 0,
            "unit": "images",
            "per_second": per_second,
            "median_s": median,
            "min_s": 0.9 * median,
            "iqr_s": 0.01,
            "rounds": 5,
            "input_sets": 2,
            "peak_bytes": 10**9,
            "bytes": 10**8,
            "operations": 10**8,
            "beyond_cache": None,
            "copy_bytes_per_s": 1e10,
            "operations_per_s": 1e11,
            "percent_of_limit": 100 * 0.01 / median,
            "bound": "bytes",
            "check": "equal",
            "detail": {},
        }
        return row | changes

    return make
