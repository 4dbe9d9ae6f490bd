"""What is asked of an explanation, checked."""

from __future__ import annotations

import difflib
import operator
from collections.abc import Sequence
from dataclasses import dataclass

from resemblance.config.errors import UserError
from resemblance.core.classifier import Classifier
from resemblance.core.prototype_model import PrototypeModel


def class_index(model: Classifier, value: int | str) -> int:
    """The index of a class given by name or index.

    Raises:
        UserError: if there is none such.
    """
    classes = model.spec.classes
    if isinstance(value, str):
        if value in classes:
            return classes.index(value)
        if not value.isdecimal():
            near = difflib.get_close_matches(value, classes, 1)
            shown = ", ".join(classes[:10]) + (", …" if len(classes) > 10 else "")
            hint = f"; did you mean {near[0]!r}?" if near else f"; the classes are {shown}"
            raise UserError(f"the model has no class {value!r}{hint}")
    index = int(value)
    if not 0 <= index < len(classes):
        raise UserError(f"the model has no class {index}; it has classes 0 to {len(classes) - 1}")
    return index


def explainable(model: Classifier) -> PrototypeModel:
    """Return the model, if it has reasons to give.

    Raises:
        UserError: if it has none.
    """
    if not isinstance(model, PrototypeModel):
        raise UserError(f"{model.name} has no evidence to explain; convert it with `resemblance convert RUN`")
    return model


@dataclass(frozen=True)
class Request:
    """What was asked for.

    Args:
        top: how many reasons to show; None for all.
        prototypes: their numbers, where chosen ones are to be shown.
        classes: indices of the classes whose scores are to be explained; None: the predicted one's.
    """

    top: int | None
    prototypes: list[int] | None
    classes: list[int] | None

    @classmethod
    def of(
        cls,
        model: PrototypeModel,
        top: int | None,
        prototypes: Sequence[int] | None,
        classes: Sequence[int | str] | None,
    ) -> Request:
        """Check what `explain.explain.explain` was given.

        Raises:
            UserError: for what the model has not.
        """
        explainable(model)
        if top is not None and (not isinstance(top, int) or top < 1):
            raise UserError(f"top must be at least 1, a whole number, not {top!r}")
        count = len(model.prototypes)
        try:
            chosen = (
                None if prototypes is None else list(dict.fromkeys(operator.index(p) for p in prototypes))
            )
        except TypeError:
            raise UserError(f"prototypes must be a list of their numbers, not {prototypes!r}") from None
        for index in chosen or ():
            if not 0 <= index < count:
                raise UserError(f"the model has no prototype {index}; it has prototypes 0 to {count - 1}")
        wanted = None
        if classes is not None and len(classes):
            values = [classes] if isinstance(classes, str) else classes
            wanted = list(dict.fromkeys(class_index(model, value) for value in values))
        return cls(top, chosen or None, wanted)
