"""What the configurations of all methods share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from resemblance.config.errors import UserError
from resemblance.config.options import option
from resemblance.config.values import check_fields
from resemblance.config.words import PROTOTYPES, Words


@dataclass
class MethodConfig:
    """Base of the methods' configurations.

    Attributes:
        name: what the method is called on the command line.
        model: its model, ``package.module:Class``; imported when one is built.
        line: one line for lists of methods.
        citation: its paper.
        words: what the method calls its prototypes, and the numbers beside them.
        variants: the values of ``variant`` that it offers.
    """

    group: ClassVar[str] = "method"
    name: ClassVar[str] = ""
    model: ClassVar[str] = ""
    line: ClassVar[str] = ""
    citation: ClassVar[str] = ""
    words: ClassVar[Words] = PROTOTYPES
    variants: ClassVar[tuple[str, ...]] = ("paper",)

    variant: str = option("paper", "paper, or released (what the authors' code does, where it differs)")

    def __post_init__(self) -> None:
        check_fields(self)
        if self.variant not in self.variants:
            raise UserError(
                f"variant {self.variant!r} is not offered here; choose from {', '.join(self.variants)}"
            )
