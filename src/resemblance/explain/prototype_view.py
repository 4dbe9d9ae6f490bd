"""Collect the picture, the provenance and the usage of each prototype, for texts, figures and pages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from resemblance.config.words import PROTOTYPES, Words
from resemblance.core.classifier import Classifier
from resemblance.core.prototype_model import PrototypeModel
from resemblance.data.images import Pixels
from resemblance.prototypes.gallery import Box, GalleryItem
from resemblance.prototypes.gallery_html import notebook_html, pictures_html

OWNERS = 5  # the largest number of classes that are named


@dataclass(frozen=True)
class PrototypeView:
    """The facts and pictures of a prototype, or of an attribute or concept in its place.

    Args:
        index: its number in the model.
        classes: the names of the classes that own it; empty if the method assigns it to no class.
        item: its picture and the provenance of the picture.
        source_index: the index of its training image, if known.
        activations: the number of training images for which it is the most similar of all prototypes; None if not
            counted.
        own_activations: the number of training images of its classes for which it is the most similar of the prototypes
            of the image's class.
        importance: ``activations`` as a share of all prototypes' activations; if each image counts one prototype, this
            is the share of the training images.
        words: the method's terms.

    Example:
        >>> view = PrototypeView(3, ("cat", "dog"), source_index=17, activations=0)
        >>> view.owner, view.source_name, view.unused, view.picture is None
        ('cat / dog', 'training image 17', True, True)
    """

    index: int
    classes: tuple[str, ...] = ()
    item: GalleryItem = field(default_factory=GalleryItem)
    source_index: int | None = None
    activations: int | None = None
    own_activations: int | None = None
    importance: float | None = None
    words: Words = PROTOTYPES

    def __repr__(self) -> str:
        return f"<{self.title}, {self.owner}{', ' + self.origin if self.origin else ''}>"

    def _repr_html_(self) -> str:
        return notebook_html(pictures_html([(*self.item.framed, f"{self.title}, {self.owner}")]))

    @property
    def title(self) -> str:
        """The method's term for it, and its number."""
        return f"{self.words.one} {self.index}"

    @property
    def owner(self) -> str:
        """Its classes as text; only the first ones if it has many.

        Example:
            >>> PrototypeView(3, tuple("abcdefg")).owner
            'a / b / c / d / e and 2 more'
        """
        if not self.classes:
            return "no class"
        more = len(self.classes) - OWNERS
        return " / ".join(self.classes[:OWNERS]) + (f" and {more} more" if more > 0 else "")

    @property
    def of_classes(self) -> str:
        """Its classes, to follow its title; empty if the method assigns no classes.

        Example:
            >>> [PrototypeView(3, classes).of_classes for classes in ((), ("cat",), ("cat", "dog"))]
            ['', 'of class cat', 'of classes cat / dog']
        """
        if not self.words.owned or not self.classes:
            return ""
        return f"of {'class' if len(self.classes) == 1 else 'classes'} {self.owner}"

    @property
    def heading(self) -> str:
        """Its heading in a list of reasons: its classes, or its title if the method assigns no classes."""
        return self.owner if self.words.owned else self.title

    @property
    def picture(self) -> Pixels | None:
        """The part or image that represents it, (h, w, 3) uint8; None if there is none."""
        return self.item.picture

    @property
    def source(self) -> Pixels | None:
        """The whole training image that it comes from, (H, W, 3) uint8; None if it is not stored."""
        return self.item.image

    @property
    def box(self) -> Box | None:
        """Its part of the source; None for the whole source. For projected prototypes, this is the papers' box."""
        return self.item.box

    @property
    def in_source(self) -> tuple[Pixels | None, Box | None]:
        """The whole training image with the box of its part, to draw; its picture alone if it was decoded."""
        return (self.picture, None) if self.decoded or self.source is None else (self.source, self.box)

    @property
    def place(self) -> Box | None:
        """The part of the source that pictures mark; None for the whole source."""
        return self.item.place

    @property
    def decoded(self) -> bool:
        """Whether its picture was decoded from the prototype and is not a training image."""
        return self.item.kind == "decoded"

    @property
    def source_name(self) -> str:
        """The training image's name; empty if there is none."""
        if self.item.name or self.source_index is None:
            return self.item.name
        return f"training image {self.source_index}"

    @property
    def origin(self) -> str:
        """The training image that it comes from, as text; empty if there is none.

        Example:
            >>> PrototypeView(3, source_index=17).origin
            'from training image 17'
        """
        before = "nearest:" if self.decoded else self.words.source
        return f"{before} {self.source_name}" if self.source_name else ""

    @property
    def unused(self) -> bool:
        """Whether it is the most similar prototype for no training image, if the method uses only that one."""
        return self.words.rivals and self.activations == 0

    def to_dict(self, arrays: bool = False) -> dict[str, Any]:
        """Return a dictionary that JSON can hold; the picture is included only if ``arrays``."""
        record: dict[str, Any] = {
            "prototype": self.index,
            "classes": list(self.classes),
            "source": self.source_name or None,
            "source_index": self.source_index,
            "source_box": list(self.box) if self.box else None,
            "decoded": self.decoded,
            "activations": self.activations,
            "own_activations": self.own_activations,
            "importance": self.importance,
            "unused": self.activations == 0,
        }
        if arrays:
            record["picture"] = None if self.picture is None else self.picture.tolist()
        return record


def prototype_views(model: Classifier, indices: Sequence[int] | None = None) -> list[PrototypeView]:
    """Return the picture, the provenance and the usage of each prototype of a model.

    Args:
        model: the model; the result is empty for a model without prototypes.
        indices: the prototypes to return; by default all.

    Example:
        >>> from resemblance.config.image import ImageSpec
        >>> from resemblance.config.model import ModelSpec
        >>> from resemblance.methods.registry import build
        >>> spec = ModelSpec(("zero", "one"), ImageSpec(28, 28, 1, (0.0,), (1.0,)))
        >>> view = prototype_views(build("protopnet", {"encoder": "small"}, spec), [12])[0]
        >>> view.index, view.owner, view.activations
        (12, 'one', None)
    """
    if not isinstance(model, PrototypeModel):
        return []
    prototypes = model.prototypes
    shown = range(len(prototypes)) if indices is None else indices
    owners = prototypes.owner_names(model.spec.classes, shown)
    activations, own_activations = prototypes.activations.tolist(), prototypes.own_activations.tolist()
    total = sum(activations) if prototypes.usage_counted else 0
    sources = prototypes.source_index.tolist()
    gallery = model.gallery
    return [
        PrototypeView(
            index=index,
            classes=names,
            item=GalleryItem() if gallery is None else gallery[index],
            source_index=sources[index] if sources[index] >= 0 else None,
            activations=activations[index] if prototypes.usage_counted else None,
            own_activations=own_activations[index] if own_activations[index] >= 0 else None,
            importance=activations[index] / total if total else None,
            words=model.traits.words,
        )
        for index, names in zip(shown, owners, strict=True)
    ]
