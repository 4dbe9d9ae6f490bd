"""What applies to some models only: the base of measurements and checks, and the choice among them."""

from __future__ import annotations

from abc import ABC
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Generic, TypeVar

from resemblance.metrics.suite.model_subject import ModelSubject
from resemblance.metrics.suite.result import LeftOut

S = TypeVar("S", bound=ModelSubject)


class Applicable(ABC, Generic[S]):
    """Says why it does not apply to a model, if so.

    Args:
        subject: the model, and all that is read.

    Attributes:
        name: the name by which it is asked for.
        title: the heading of its result.
        needs: functions of the subject that return an obstacle or None, in the order in which they are looked at.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    needs: ClassVar[tuple[Callable[[Any], str | None], ...]] = ()

    def __init__(self, subject: S) -> None:
        self.subject = subject

    @classmethod
    def obstacle(cls, subject: S) -> str | None:
        """Return why it does not apply to a model; None if it does."""
        return next((reason for need in cls.needs if (reason := need(subject)) is not None), None)


A = TypeVar("A", bound=Applicable[Any])


def applicable(
    kinds: Mapping[str, type[A]], subject: ModelSubject, names: Sequence[str]
) -> tuple[list[A], list[LeftOut]]:
    """Return what applies to a subject, and what does not, with the reason.

    Args:
        kinds: by name.
        subject: the model, and all that is read.
        names: of those that are asked for, in their order.
    """
    made, left_out = [], []
    for name in names:
        reason = kinds[name].obstacle(subject)
        if reason is None:
            made.append(kinds[name](subject))
        else:
            left_out.append(LeftOut(name, reason))
    return made, left_out
