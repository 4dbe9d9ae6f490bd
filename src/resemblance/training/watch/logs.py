"""The measurements of training, in a CSV file and for TensorBoard; a resumed run continues both."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from resemblance.printing.characters import spreadsheet_cell
from resemblance.writing import replacing, writing

_CSV: Any = {"newline": "", "encoding": "utf-8", "errors": "backslashreplace"}


class RunLog:
    """Write ``metrics.csv``, one row per epoch, and TensorBoard curves, also within epochs.

    A resumed run starts from the history in its checkpoint: rows that were written after the checkpoint are removed,
    and TensorBoard drops its later points, since both will be written again.

    Args:
        folder: the folder to write to.
        history: rows up to the checkpoint.
        step: optimiser steps up to the checkpoint.

    Example:
        >>> from tempfile import mkdtemp
        >>> folder = Path(mkdtemp())
        >>> RunLog(folder, [{"epoch": 1, "train/loss": 0.5}]).close()
        >>> (folder / "metrics.csv").read_text().split()
        ['epoch,train/loss', '1,0.5']
    """

    def __init__(self, folder: Path, history: Sequence[Mapping[str, Any]] = (), step: int = 0) -> None:
        self.folder = folder
        self.rows = [dict(row) for row in history]
        self.first = step + 1
        self._writer: Any = None
        self._rewrite()

    @property
    def path(self) -> Path:
        """The CSV file."""
        return self.folder / "metrics.csv"

    def epoch(self, row: Mapping[str, Any]) -> None:
        """Add a row, and its numbers as points at its ``step``."""
        self.rows.append(dict(row))
        if set(row) <= set(self._columns):
            with writing(self.path), self.path.open("a", **_CSV) as file:
                csv.writer(file).writerow(self._cells(row))
        else:
            self._rewrite()
        self.points({key: value for key, value in row.items() if "/" in key}, int(row["step"]))

    def points(self, values: Mapping[str, float], step: int) -> None:
        """Add a point to each of the named curves."""
        with writing(self._curves):
            for name, value in values.items():
                self._board.add_scalar(name, value, step)

    def close(self) -> None:
        """Write the points that are still in memory."""
        if self._writer is not None:
            with writing(self._curves):
                self._writer.close()

    @property
    def _curves(self) -> Path:
        return self.folder / "tensorboard"

    @property
    def _board(self) -> Any:
        if self._writer is None:
            from torch.utils.tensorboard import SummaryWriter

            self._writer = SummaryWriter(str(self._curves), purge_step=self.first)
        return self._writer

    def _rewrite(self) -> None:
        self._columns = list(dict.fromkeys(key for row in self.rows for key in row))
        with replacing(self.path) as temporary, temporary.open("w", **_CSV) as file:
            writer = csv.writer(file)
            if self.rows:
                writer.writerow(map(spreadsheet_cell, self._columns))
            writer.writerows(map(self._cells, self.rows))

    def _cells(self, row: Mapping[str, Any]) -> list[object]:
        return [spreadsheet_cell(row.get(column, "")) for column in self._columns]
