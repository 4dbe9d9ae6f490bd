"""The options of an audit, and the checks of them that need no model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from resemblance.config.audit.check_names import CHECKS
from resemblance.config.errors import UserError
from resemblance.config.options import option
from resemblance.config.training import SEED
from resemblance.config.values import check_fields, near

VARIANTS = ("paper", "released")


@dataclass
class AuditOptions:
    """What an audit checks, and on how many images."""

    group: ClassVar[str] = "checks"

    checks: tuple[str, ...] | None = option(
        None, f"checks, separated by commas: {', '.join(CHECKS)} (default: all that apply)", metavar="NAMES"
    )
    images: int | None = option(
        200, "number of images that the model is tried on, chosen by --seed; null for all", least=1
    )
    attacked: int = option(
        50, "number of these that are attacked, since an attack takes many passes", least=1
    )
    top: int = option(5, "number of prototypes per image that are attacked", least=1)
    eps: float = option(8.0, "largest change of a pixel by an attack, of 255 levels", above=0, most=255)
    step: float = option(2.0, "change per step of an attack, of 255 levels", above=0, most=255)
    steps: int = option(40, "steps of an attack", least=1)
    variant: str = option(
        "paper",
        "released is what the authors' code does where it differs from the paper",
        choices=VARIANTS,
    )
    foreign: str | None = option(
        None, "images of other things than the model's classes, as for --data, or loose files", metavar="DATA"
    )
    seed: int = option(0, SEED, least=0)
    fail_if: tuple[str, ...] = option(
        (),
        "thresholds, separated by commas, that turn into exit code 3, for instance 'head_on_stomach>0.5'",
        metavar="THRESHOLDS",
    )
    thresholds: Path | None = option(
        None, "YAML file with thresholds: a list under the key fail_if", metavar="FILE"
    )

    def __post_init__(self) -> None:
        check_fields(self)


def chosen_checks(options: AuditOptions) -> tuple[str, ...]:
    """Return the names of the checks that the options ask for, in the order of `CHECKS`.

    Raises:
        UserError: for an unknown name.

    Example:
        >>> chosen_checks(AuditOptions(checks=("shifts", "provenance")))
        ('provenance', 'shifts')
    """
    names = list(CHECKS) if options.checks is None else options.checks
    for name in names:
        if name not in CHECKS:
            hint = near(name, list(CHECKS)) or f"; there are {', '.join(CHECKS)}"
            raise UserError(f"there is no check {name!r}{hint}")
    return tuple(name for name in CHECKS if name in names)
