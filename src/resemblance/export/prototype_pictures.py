"""The pictures of prototypes, as files beside an exported graph and as images to check it with."""

from __future__ import annotations

import torch
from torch import Tensor

from resemblance.core.prototype_model import PrototypeModel
from resemblance.data.transforms import scaled
from resemblance.prototypes.picture import Picture


def pictures_of(model: PrototypeModel) -> dict[int, Picture]:
    """Return each prototype's picture by its number: its whole training image, or what was decoded from it."""
    items = enumerate(model.gallery or ())
    pictures = {index: item.decoding if item.kind == "decoded" else item.source for index, item in items}
    return {index: picture for index, picture in pictures.items() if picture is not None}


def picture_files(pictures: dict[int, Picture]) -> tuple[dict[str, bytes], dict[int, str]]:
    """Return the files by name, each picture once, and the name of each prototype's file.

    Example:
        >>> same = Picture(b"one picture")
        >>> picture_files({3: same, 5: same})
        ({'3.jpg': b'one picture'}, {3: '3.jpg', 5: '3.jpg'})
    """
    names: dict[bytes, str] = {}
    named = {
        index: names.setdefault(picture.data, f"{index}{picture.suffix}")
        for index, picture in pictures.items()
    }
    return {name: data for data, name in names.items()}, named


def known_images(model: PrototypeModel, most: int) -> Tensor:
    """Return up to ``most`` training images that prototypes come from, (B, C, H, W) in [0, 1].

    Images of another size than the model's, of folders of earlier versions, are left out.
    """
    image = model.spec.image
    sources = {
        item.source.data: item.source for item in model.gallery or () if item.source is not None
    }  # each once
    step = max(1, len(sources) // most)
    chosen = [source.pixels() for source in list(sources.values())[::step][:most]]
    tensors = [
        scaled(pixels[None, :, :, : image.channels]) for pixels in chosen if pixels.shape[:2] == image.size
    ]
    return torch.cat(tensors) if tensors else torch.zeros(0, image.channels, *image.size)
