"""The base class of the methods' configurations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from resemblance.config.errors import UserError
from resemblance.config.options import option
from resemblance.config.values import check_fields
from resemblance.config.words import PROTOTYPES, Words

VARIANT = "paper, or released (as the authors' code, where it differs from the paper)"


@dataclass
class MethodConfig:
    """Options that all methods have, and facts about a method.

    Attributes:
        name: the method's name on the command line.
        model: its model, ``package.module:Class``, which is imported when a model is built.
        line: one line for lists of methods.
        citation: its paper.
        words: the method's terms for its prototypes and their numbers.
        trains: whether it is trained; if not, it is made of finished models, and lists of methods leave it out.
        variants: the values of ``variant`` that it offers.
    """

    group: ClassVar[str] = "method"
    name: ClassVar[str] = ""
    model: ClassVar[str] = ""
    trains: ClassVar[bool] = True
    line: ClassVar[str] = ""
    citation: ClassVar[str] = ""
    words: ClassVar[Words] = PROTOTYPES
    variants: ClassVar[tuple[str, ...]] = ("paper",)

    variant: str = option("paper", VARIANT)

    def __post_init__(self) -> None:
        check_fields(self)
        if self.variant not in self.variants:
            raise UserError(
                f"--variant: this method has no variant {self.variant!r}; choose from {', '.join(self.variants)}"
            )
