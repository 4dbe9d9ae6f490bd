"""A folder of made-up experiments, and a command that only pretends to run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from resemblance.config.errors import UserError

BLACK_BOX = """
source: Nobody 2024
table: Table 1
row: black box
seeds: 2
steps:
  model: {train: blackbox, options: {encoder: small, epochs: 40}}
measures:
  accuracy: {value: test.accuracy, percent: true}
cells:
  digits: {paper: {accuracy: [80, 1]}}
  birds: {beside: digits, notes: other images}
"""
KMEX = """
source: Nobody 2024
table: Table 1
row: KMEx
steps:
  model: {convert: "{made/table1/blackbox}", options: {prototypes-per-class: 2}}
  measured: {evaluate: "{model}", options: {metrics: [ghosting]}}
  ensemble: {evaluate: "{made/table1/blackbox}", members: 2}
measures:
  accuracy: {value: test.accuracy, percent: true}
  ghosting: {step: measured, value: ghosting}
  of two: {step: ensemble, value: accuracy, percent: true}
  seen: {}
cells:
  digits: {paper: {accuracy: 99.4, ghosting: [0.0, 0.1], seen: 3}}
"""


def write_experiments(folder: Path, **files: str) -> Path:
    """Write made/table1/NAME.yaml for each text; by default a black box and its conversion."""
    place = folder / "made" / "table1"
    place.mkdir(parents=True)
    for name, text in (files or {"blackbox": BLACK_BOX, "kmex": KMEX}).items():
        (place / f"{name}.yaml").write_text(text, encoding="utf-8")
    return folder


class PretendedCommand:
    """Keeps the words of commands, and writes results as they would; can stop or fail instead."""

    def __init__(self) -> None:
        self.calls: list[list[str]] = []
        self.stop: str = ""  # stops in the command whose words contain this
        self.fail: str = ""

    def __call__(self, words: list[str]) -> int:
        self.calls.append(words)
        folder = Path(words[words.index("--output") + 1])
        if self.stop and self.stop in words:
            (folder / "checkpoints").mkdir(parents=True)
            raise KeyboardInterrupt
        if self.fail and self.fail in words:
            raise UserError("this does not work")
        folder.mkdir(parents=True, exist_ok=True)
        name, content = _result(words)
        (folder / name).write_text(json.dumps(content), encoding="utf-8")
        return 0


def _result(words: list[str]) -> tuple[str, dict[str, Any]]:
    if words[0] == "evaluate":
        values = [{"name": "ghosting", "value": 0.25}]
        return "evaluation.json", {"accuracy": 0.9, "measures": {"ghosting": {"values": values}}}
    seed = int(words[words.index("--seed") + 1])
    return "metrics.json", {"test": {"accuracy": 0.8 + seed / 100}}
