"""The options of the commands that run experiments: ``reproduce`` and ``sweep``."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

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
    seeds: tuple[int, ...] = option((0,), "seeds of the runs, separated by commas", metavar="N,N,...")
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


@dataclass
class SweepCommand(JsonOption):
    """Train a method, or convert a model, with all combinations of some options."""

    line: ClassVar[str] = "train a method, or convert a model, with all combinations of some options"
    group: ClassVar[str] = "experiments"

    over: list[str] = option(
        list,
        "an option and its values, for instance slots=3,5,10; may be repeated, for all combinations",
        repeated=True,
        required=True,
        metavar="OPTION=A,B,...",
    )
    seeds: tuple[int, ...] = option((0,), "seeds of the runs, separated by commas", metavar="N,N,...")
    budget: float | None = option(
        None,
        "minutes for all that is run: long trainings get fewer epochs, and the table says how many",
        above=0,
        metavar="MINUTES",
    )
    output: Path | None = option(
        None,
        "folder for the runs, the table and the plot (default: sweeps/METHOD)",
        metavar="DIR",
        title="output",
    )
    verb: str = "train"
    subject: str = ""
    common: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_fields(self)
