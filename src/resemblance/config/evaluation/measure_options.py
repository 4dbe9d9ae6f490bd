"""The options of an evaluation, and the checks that need no model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, get_args

from resemblance.config.errors import UserError
from resemblance.config.evaluation.measure_names import AGAINST_KMEX, MEASURES, SETS
from resemblance.config.options import option
from resemblance.config.relevance import MAP_KINDS, Definition
from resemblance.config.training import SEED
from resemblance.config.values import check_fields, near

DEFINITIONS: tuple[Definition, ...] = get_args(Definition)


@dataclass
class MeasureOptions:
    """What an evaluation measures, and on which images."""

    group: ClassVar[str] = "measures"

    metrics: tuple[str, ...] | None = option(
        None,
        f"measures, separated by commas: {', '.join(MEASURES)}; or all, or paper (default: accuracy and confusion)",
        metavar="NAMES",
    )
    maps: str = option(
        "similarity",
        "kind of the relevance maps; models without similarity maps get smoothgrad instead",
        choices=MAP_KINDS,
    )
    definition: str = option(
        "default",
        "definition of the measures where papers and released code differ; paper implies --maps prp",
        choices=DEFINITIONS,
    )
    blackbox: str | None = option(
        None, "run of the black box to compare with (default: the one that a model contains)", metavar="RUN"
    )
    images: int | None = option(
        None, "number of images to measure on, chosen by --seed (default: all)", least=1
    )
    seed: int = option(0, SEED, least=0)
    steps: int = option(101, "points on the curves of relevance-ordering", least=2)
    attributes: Path | None = option(None, "file of binary attributes of the training images", metavar="FILE")
    regions: str | None = option(
        None,
        "object parts, boxes or masks of the images: masks:PATH, trimaps:PATH, boxes:FILE.csv, cub:PATH or "
        "cub-crops:PATH",
        metavar="KIND:PATH",
    )
    against_kmex: bool = option(
        False, "also convert each model with KMEx, and measure the KMEx prototypes beside its own"
    )
    maps_figure: int = option(
        0, "number of images whose maps by the black box and all models are drawn side by side", least=0
    )

    def __post_init__(self) -> None:
        check_fields(self)


def chosen_measures(options: MeasureOptions) -> tuple[str, ...]:
    """Return the names of the measures that the options ask for, accuracy among them, in the order of `MEASURES`.

    Raises:
        UserError: for an unknown name, or a measure without the file that it needs.

    Example:
        >>> chosen_measures(MeasureOptions(metrics=("diversity", "ghosting")))
        ('accuracy', 'ghosting', 'diversity')
        >>> chosen_measures(MeasureOptions(metrics=("ghost",)))
        Traceback (most recent call last):
        resemblance.config.errors.UserError: there is no measure 'ghost'; did you mean 'ghosting'?
    """
    names = options.metrics
    if names is None:
        names = AGAINST_KMEX if options.against_kmex else ()
    wanted = {"accuracy"} if names else set()
    for name in names:
        if name not in SETS and name not in MEASURES:
            known = [*SETS, *MEASURES]
            raise UserError(
                f"there is no measure {name!r}{near(name, known) or '; there are ' + ', '.join(known)}"
            )
        wanted.update(SETS.get(name, (name,)))
    return tuple(name for name in MEASURES if name in wanted)


def map_kind(options: MeasureOptions) -> str:
    """Return the kind of the maps: the paper's definition implies PRP.

    Raises:
        UserError: if the options contradict each other.

    Example:
        >>> map_kind(MeasureOptions(definition="paper")), map_kind(MeasureOptions())
        ('prp', 'similarity')
    """
    if options.definition != "paper":
        return options.maps
    if options.maps not in ("similarity", "prp"):
        raise UserError(
            f"the paper's definition uses PRP maps; leave out --maps {options.maps} or --definition paper"
        )
    return "prp"


def check_measures(options: MeasureOptions, runs: Sequence[str] | int, ensemble: bool = False) -> None:
    """Refuse options that contradict each other, before anything is opened.

    Args:
        options: the options.
        runs: the runs that are measured, or their number.
        ensemble: whether they are measured as one ensemble.

    Raises:
        UserError: in one line.
    """
    names = chosen_measures(options)
    map_kind(options)
    compared = bool(names or options.maps_figure)
    if ensemble and compared:
        raise UserError(
            "--ensemble measures accuracy alone; leave out --metrics, --against-kmex and --maps-figure"
        )
    explicit = options.metrics or ()
    if options.attributes is not None and not options.attributes.expanduser().is_file():
        raise UserError(f"--attributes {options.attributes}: there is no such file")
    for file, needed in (("attributes", "FILE"), ("regions", "KIND:PATH")):
        path = getattr(options, file)
        needing = [name for name in names if f"(--{file})" in MEASURES[name]]
        if path is not None and not needing:
            raise UserError(
                f"--{file} is given, but no measure that reads it; add it to --metrics, or use all"
            )
        missing = [name for name in explicit if name in needing] if path is None else []
        if missing:
            raise UserError(f"{missing[0]} needs --{file} {needed}")
    if not compared and options.blackbox is not None:
        raise UserError("--blackbox is compared with by measures; add --metrics or --maps-figure")
