"""Build the pictures of a model's prototypes, cut from the training images or decoded."""

from __future__ import annotations

import torch

from resemblance.config.errors import UserError
from resemblance.core.prototype_model import PrototypeModel
from resemblance.data.inputs import pixels
from resemblance.data.progress import track
from resemblance.data.sources.source import Source
from resemblance.data.transforms import to_tensor
from resemblance.prototypes.gallery import Gallery, GalleryItem, Kind, Picture
from resemblance.prototypes.layer import PrototypeLayer
from resemblance.training.ends.passes import evaluating


def build_gallery(model: PrototypeModel, source: Source, *, progress: bool = False) -> Gallery:
    """Collect the pictures of each prototype.

    Each source image is read once, at the model's size. Models that decode show their decoded prototypes, and the
    nearest training image beside them.

    Args:
        model: with prototypes, after projection or after their usage has been counted.
        source: the training images that ``source_index`` refers to.
        progress: whether to show a bar.

    Raises:
        UserError: if the prototypes come from other images than these.
    """
    if not isinstance(model, PrototypeModel):
        raise UserError(f"{model.name} has no prototypes to show")
    prototypes = model.prototypes
    indices = prototypes.source_index.tolist()
    if max(indices, default=-1) >= len(source):
        raise UserError(
            f"a prototype comes from image {max(indices)}, but there are only {len(source)} images"
        )
    unique = sorted({index for index in indices if index >= 0})
    pictures = {
        index: Picture.from_pixels(pixels(to_tensor(source.read(index), model.spec.image)))
        for index in track(unique, f"reading the {model.traits.words.many}' images", progress)
    }
    decodings = decode(model, prototypes) if model.traits.decodes else [None] * len(indices)
    whole = (0, 0, model.spec.image.width, model.spec.image.height)
    items = []
    for index, box, decoding in zip(indices, prototypes.source_box.tolist(), decodings, strict=True):
        kind: Kind = "decoded" if decoding is not None else "training image" if index >= 0 else "none"
        items.append(
            GalleryItem(
                kind,
                source.name(index) if index >= 0 else "",
                None if index < 0 or tuple(box) == whole else tuple(box),
                pictures.get(index),
                decoding,
            )
        )
    return Gallery(items)


def decode(model: PrototypeModel, prototypes: PrototypeLayer, batch_size: int = 64) -> list[Picture]:
    """Return the decoded prototypes of a model that decodes."""
    with evaluating(model):
        parts = [model.decode(vectors) for vectors in torch.split(prototypes.vectors, batch_size)]
        images = torch.cat(parts).float().cpu()
    return [Picture.from_pixels(pixels(image)) for image in images]
