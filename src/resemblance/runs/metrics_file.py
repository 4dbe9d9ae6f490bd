"""Read metrics.json of a run folder, which another program or another version may have written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from resemblance.config.files.json_file import read_json
from resemblance.config.files.typed import typed

ORIGINAL_TEST = "test (original)"  # where "test" has the images of some classes compressed
MEASURED_SPLITS = ("val", "test", ORIGINAL_TEST)
METRICS_TYPES = {
    "method": str,
    "data": str,
    "images": dict[str, int],
    "seconds": float,
    "seed": int,
    "val": dict[str, Any],
    "test": dict[str, Any],
    ORIGINAL_TEST: dict[str, Any],
    "notes": list[str],
    "versions": dict[str, str],
}
SPLIT_TYPES = {
    "images": int,
    "accuracy": float,
    "black_box": float | None,
    "gap": float | None,
    "agreement": float | None,
    "measured": dict[str, float],
    "wrong": list[int],
    "sure": list[int] | None,
    "least_familiar": list[int],
}


def read_metrics(path: Path) -> dict[str, Any]:
    """Read the measurements of a run; entries that no command reads stay as they are.

    Args:
        path: the file.

    Raises:
        UserError: naming the file and the entry, if it cannot be read or an entry has another type.
    """
    metrics = typed(read_json(path), METRICS_TYPES, str(path))
    for split in MEASURED_SPLITS:
        if split in metrics:
            metrics[split] = typed(metrics[split], SPLIT_TYPES, f"{path}: {split}")
    return metrics
