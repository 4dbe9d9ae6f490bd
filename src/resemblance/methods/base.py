"""The base classes of methods: the contract, and the methods that save a model, answer and explain images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from resemblance.core.classifier import Classifier
from resemblance.core.prototype_model import PrototypeModel
from resemblance.data.sources.image_list import is_one_image, list_images
from resemblance.explain.explain import explain, explain_batch
from resemblance.explain.explanation import Explanation
from resemblance.explain.many.explanations import Explanations
from resemblance.methods.model_html import model_html
from resemblance.methods.predictions import predict, predict_proba
from resemblance.methods.saving import save


class Method(Classifier):
    """The base class of methods without prototypes."""

    def save(self, folder: Path | str) -> None:
        """Save the model as a folder that `resemblance.load` reads; an existing model folder there is replaced."""
        save(self, folder)

    def predict(self, images: Any, *, batch_size: int = 16) -> list[str | None]:
        """Return the name of the predicted class of each image; None where the model abstains.

        Args:
            images: one image or several: a path, a folder, a PIL image, an array, a tensor (C, H, W) or (B, C, H, W) in
                [0, 1], or a list of these.
            batch_size: images per forward pass.

        Raises:
            UserError: if an image cannot be read.
        """
        return predict(self, images, batch_size)

    def predict_proba(self, images: Any, *, batch_size: int = 16) -> NDArray[np.float32]:
        """Return the probabilities (B, C) of the classes, in the order of `classes`; see `predict`."""
        return predict_proba(self, images, batch_size)

    def _repr_html_(self) -> str:
        return model_html(self)


class PrototypeMethod(PrototypeModel, Method):
    """The base class of methods with prototypes."""

    @overload
    def explain(
        self,
        image: list[Any] | tuple[Any, ...],
        *,
        top: int | None = 5,
        prototypes: Sequence[int] | None = None,
        classes: Sequence[int | str] | None = None,
        against: int | str = "auto",
        label: int | str | None = None,
        name: str | None = None,
        maps: str = "auto",
        check_maps: bool = False,
        abstain_below: float | None = None,
        conformal: float | None = None,
    ) -> Explanations: ...

    @overload
    def explain(
        self,
        image: Any,
        *,
        top: int | None = 5,
        prototypes: Sequence[int] | None = None,
        classes: Sequence[int | str] | None = None,
        against: int | str = "auto",
        label: int | str | None = None,
        name: str | None = None,
        maps: str = "auto",
        check_maps: bool = False,
        abstain_below: float | None = None,
        conformal: float | None = None,
    ) -> Any: ...

    def explain(
        self,
        image: Any,
        *,
        top: int | None = 5,
        prototypes: Sequence[int] | None = None,
        classes: Sequence[int | str] | None = None,
        against: int | str = "auto",
        label: int | str | None = None,
        name: str | None = None,
        maps: str = "auto",
        check_maps: bool = False,
        abstain_below: float | None = None,
        conformal: float | None = None,
    ) -> Explanation | Explanations:
        """Explain one image, or several.

        Args:
            image: one image: a path, a PIL image, an array or a tensor (C, H, W); or several: a folder, a batch of
                images (B, C, H, W), or a list. Images in class folders have their class as label.
            top: the number of reasons to show; None for all.
            prototypes: as for `explain.explain.explain`, like the other arguments.
            classes: the classes whose scores are explained.
            against: what their scores are compared with.
            label: the true class, of all images if there are several.
            name: the name of the image, if it is one.
            maps: the kind of the maps.
            check_maps: whether to check them.
            abstain_below: the quantile of the deciding similarity below which the model abstains.
            conformal: the level of the sets of classes.

        Returns:
            An `Explanation` of one image, or a list of them.
        """
        shown: dict[str, Any] = {"top": top, "prototypes": prototypes, "classes": classes, "against": against}
        shown |= {"maps": maps, "check_maps": check_maps}
        shown |= {"abstain_below": abstain_below, "conformal": conformal}
        if is_one_image(image):
            return explain(self, image, label=label, name=name, **shown)
        listed = list_images(image)
        labels = listed.labels(self.classes) if label is None else [label] * len(listed)
        return Explanations(explain_batch(self, listed.images, labels=labels, **shown))
