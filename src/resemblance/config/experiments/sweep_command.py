"""The options of ``resemblance sweep``."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from resemblance.config.groups import JsonOption
from resemblance.config.options import option
from resemblance.config.values import check_fields


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
    seeds: tuple[int, ...] = option(
        (0,), "seeds of the runs, separated by commas", least=0, metavar="N,N,..."
    )
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
