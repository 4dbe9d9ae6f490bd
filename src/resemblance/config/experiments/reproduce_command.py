"""The options of ``resemblance reproduce``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from resemblance.config.groups import JsonOption
from resemblance.config.options import option
from resemblance.config.values import check_fields


@dataclass
class ReproduceCommand(JsonOption):
    """List the experiments of the papers, or repeat some and put the results beside the papers' figures."""

    line: ClassVar[str] = "repeat the experiments of the papers, and put the results beside theirs"
    group: ClassVar[str] = "experiments"

    names: list[str] = option(
        list,
        "experiments to repeat: a paper, a table (PAPER/TABLE), a row (PAPER/TABLE/ROW), or a cell of a row; perhaps "
        "with * and ?; without any, all are listed",
        positional=True,
        many=True,
        optional=True,
        metavar="NAME",
    )
    data: list[str] = option(
        list,
        "where a data set is, for instance mnist:DIR, or a folder of data sets; may be repeated (default: the folder "
        "that RESEMBLANCE_DATA names)",
        repeated=True,
        metavar="NAME:PATH",
        title="data",
    )
    seeds: tuple[int, ...] = option(
        (0,), "seeds of the runs, separated by commas", least=0, metavar="N,N,..."
    )
    budget: float | None = option(
        None,
        "minutes for all that is run: long trainings get fewer epochs, and every table says how many",
        above=0,
        metavar="MINUTES",
    )
    experiments: Path | None = option(
        None,
        "folder of other experiments, PAPER/TABLE/ROW.yaml (default: those of this library)",
        metavar="DIR",
    )
    table_only: bool = option(False, "run nothing, and write the table of what is finished")
    output: Path = option(
        Path("reproduced"), "folder for the runs and the table", metavar="DIR", title="output"
    )

    def __post_init__(self) -> None:
        check_fields(self)
