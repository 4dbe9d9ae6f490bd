"""Check the arguments of a request for explanations."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import dataclass

from resemblance.config.errors import UserError
from resemblance.config.relevance import MAP_KINDS, SHOWN_MAPS, MapKind
from resemblance.config.values import near
from resemblance.core.classifier import Classifier
from resemblance.core.prototype_model import PrototypeModel
from resemblance.explain.against.compared_with import AGAINST_WORDS, Against
from resemblance.explain.familiarity.familiarity import check_abstention
from resemblance.relevance.similarity import default_kind


def class_index(model: Classifier, value: int | str) -> int:
    """Return the index of a class given by name or index.

    Raises:
        UserError: if the model has no such class.
    """
    classes = model.spec.classes
    if isinstance(value, str):
        if value in classes:
            return classes.index(value)
        if not value.isdecimal():
            listed = ", ".join(classes[:10]) + (", …" if len(classes) > 10 else "")
            hint = near(value, classes) or f"; the classes are {listed}"
            raise UserError(f"the model has no class {value!r}{hint}")
    index = int(value)
    if not 0 <= index < len(classes):
        raise UserError(f"the model has no class {index}; it has classes 0 to {len(classes) - 1}")
    return index


def explainable(model: Classifier) -> PrototypeModel:
    """Return the model if it has prototypes, which can be its reasons.

    Raises:
        UserError: if it has none.
    """
    if not isinstance(model, PrototypeModel):
        raise UserError(f"{model.name} has no evidence to explain; convert it with `resemblance convert RUN`")
    return model


@dataclass(frozen=True)
class Request:
    """The checked arguments of `explain.explain.explain`.

    Args:
        top: the number of reasons to show; None for all.
        prototypes: the numbers of the prototypes to show, if the caller chose them.
        classes: the indices of the classes whose scores are explained; None for the predicted class.
        maps: the kind of the maps; None for no maps.
        asked: whether the caller named this kind.
        check: whether to check the maps by deletion.
        against: what the scores are compared with.
        abstain_below: the quantile of the deciding similarity below which the model abstains; None for no abstention.
        conformal: the level of the sets of classes; None for no sets.
    """

    top: int | None
    prototypes: list[int] | None
    classes: list[int] | None
    maps: MapKind | None = None
    asked: bool = False
    check: bool = False
    against: Against = "auto"
    abstain_below: float | None = None
    conformal: float | None = None

    @classmethod
    def of(
        cls,
        model: PrototypeModel,
        top: int | None,
        prototypes: Sequence[int] | None,
        classes: Sequence[int | str] | None,
        maps: str = "auto",
        check: bool = False,
        against: int | str = "auto",
        abstain_below: float | None = None,
        conformal: float | None = None,
    ) -> Request:
        """Check the arguments of `explain.explain.explain`.

        Raises:
            UserError: if the model has no prototypes, or a prototype, class, kind of map or reference does not exist,
                or the model has no reference for abstention or sets.
        """
        explainable(model)
        check_abstention(model, abstain_below, conformal)
        if top is not None and (not isinstance(top, int) or top < 1):
            raise UserError(f"top must be a whole number of at least 1, not {top!r}")
        count = len(model.prototypes)
        try:
            chosen = (
                None if prototypes is None else list(dict.fromkeys(operator.index(p) for p in prototypes))
            )
        except TypeError:
            raise UserError(
                f"prototypes must be a list of numbers of prototypes, not {prototypes!r}"
            ) from None
        for index in chosen or ():
            if not 0 <= index < count:
                raise UserError(f"the model has no prototype {index}; it has prototypes 0 to {count - 1}")
        indices = None
        if classes is not None and len(classes):
            values = [classes] if isinstance(classes, str) else classes
            indices = list(dict.fromkeys(class_index(model, value) for value in values))
        kind, reference = _map_kind(model, maps), _reference(model, against)
        return cls(
            top, chosen or None, indices, kind, maps != "auto", check, reference, abstain_below, conformal
        )


def _reference(model: PrototypeModel, value: int | str) -> Against:
    """Return what scores are compared with; words come before classes of the same name."""
    for word in AGAINST_WORDS:
        if value == word:
            return word
    classes = model.spec.classes
    if isinstance(value, str) and value not in classes and not value.isdecimal():
        hint = near(value, (*AGAINST_WORDS, *classes))
        raise UserError(f"scores are explained against mean, runner-up, none or a class, not {value!r}{hint}")
    return class_index(model, value)


def _map_kind(model: PrototypeModel, name: str) -> MapKind | None:
    """Return the kind of map to show; ``auto`` is the model's default, ``none`` no map."""
    if name == "none":
        return None
    if name == "auto":
        return default_kind(model)
    for kind in MAP_KINDS:
        if name == kind:
            return kind
    raise UserError(
        f"there is no map {name!r}{near(str(name), SHOWN_MAPS)}; the maps are {', '.join(SHOWN_MAPS)}"
    )
