"""Build the pictures of a model's prototypes, cut from the training images or decoded."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from resemblance.config.errors import UserError
from resemblance.core.prototype_model import PrototypeModel
from resemblance.data.inputs import pixels
from resemblance.data.progress import track
from resemblance.data.sources.source import Source
from resemblance.prototypes.gallery import Box, Gallery, GalleryItem, Kind, Picture
from resemblance.prototypes.layer import PrototypeLayer
from resemblance.prototypes.maps import peak_boxes, upsample
from resemblance.training.ends.passes import evaluating

BATCH = 64  # images in memory at a time, and prototypes that are decoded at a time


Encoded = Callable[[Sequence[int]], Tensor]


def build_gallery(
    model: PrototypeModel, source: Source, *, encoded: Encoded | None = None, progress: bool = False
) -> Gallery:
    """Collect the pictures of each prototype.

    Each source image is read once, at the model's size. Models that decode show their decoded prototypes, and the
    nearest training image beside them.

    Args:
        model: with prototypes, after projection or after their usage has been counted.
        source: the training images that ``source_index`` refers to.
        encoded: returns what `Classifier.encode` computed for images, if it is kept.
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
    batches = [unique[start : start + BATCH] for start in range(0, len(unique), BATCH)]
    pictures: dict[int, Picture] = {}
    for batch in track(batches, f"reading the {model.traits.words.many}' images", progress):
        images = {index: source.tensor(index, model.spec.image) for index in batch}
        pictures |= {index: Picture.from_pixels(pixels(image)) for index, image in images.items()}
        _find_regions(model, images, encoded)
    decodings = decode(model, prototypes) if model.traits.decodes else [None] * len(indices)
    whole = (0, 0, model.spec.image.width, model.spec.image.height)
    items = []
    boxes, regions = prototypes.source_box.tolist(), _regions(model)
    for index, box, region, decoding in zip(indices, boxes, regions, decodings, strict=True):
        kind: Kind = "decoded" if decoding is not None else "training image" if index >= 0 else "none"
        items.append(
            GalleryItem(
                kind,
                source.name(index) if index >= 0 else "",
                None if index < 0 or tuple(box) == whole else tuple(box),
                pictures.get(index),
                decoding,
                None if region is None or region == whole else region,
            )
        )
    return Gallery(items)


def _find_regions(model: PrototypeModel, images: dict[int, Tensor], encoded: Encoded | None) -> None:
    """Find the part that a picture of each prototype marks where a source is among the images and it is not known yet.

    Projection computes it. It is not saved with the weights: after a model was loaded, the sources are embedded again.
    """
    prototypes = model.prototypes
    if not model.traits.projects or not prototypes.has_maps:
        return
    unknown = (prototypes.source_region == 0).all(dim=1).tolist()
    sources = prototypes.source_index.tolist()
    needed = sorted(
        {index for index, missing in zip(sources, unknown, strict=True) if missing and index in images}
    )
    if not needed:
        return
    position = {index: row for row, index in enumerate(needed)}
    pairs = [(position[index], j) for j, index in enumerate(sources) if unknown[j] and index in position]
    with evaluating(model):
        if encoded is None:
            latents = model.latents(torch.stack([images[index] for index in needed]).to(model.device))
        else:
            latents = model.refine(encoded(needed).to(model.device))
        rows, which = torch.tensor(pairs, device=model.device).T
        maps = prototypes.source_maps(latents.float(), rows, which, prototypes.vectors[which])
        if maps is not None:
            prototypes.source_region[which] = peak_boxes(upsample(maps, model.spec.image.size)).to(
                which.device
            )


def _regions(model: PrototypeModel) -> list[Box | None]:
    """Return the part of its source that a picture of each prototype marks; None where that is the stored box."""
    if not model.traits.projects or not model.prototypes.has_maps:
        return [None] * len(model.prototypes)
    regions = model.prototypes.source_region.tolist()
    return [None if not any(region) else (region[0], region[1], region[2], region[3]) for region in regions]


def decode(model: PrototypeModel, prototypes: PrototypeLayer, batch_size: int = BATCH) -> list[Picture]:
    """Return the decoded prototypes of a model that decodes."""
    with evaluating(model):
        parts = [model.decode(vectors) for vectors in torch.split(prototypes.vectors, batch_size)]
        images = torch.cat(parts).float().cpu()
    return [Picture.from_pixels(pixels(image)) for image in images]
