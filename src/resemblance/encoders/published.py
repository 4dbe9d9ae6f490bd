"""The images on which published weights were trained: size, normalisation and preparation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from resemblance.config.encoder import TORCHVISION, TRANSFORMERS
from resemblance.config.groups import ImageOptions
from resemblance.config.image import INTERPOLATIONS, SMALLEST_SHARE
from resemblance.encoders.names import timm_name, torchvision_name, torchvision_weights

IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
PILLOW = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic", 4: "box", 5: "hamming"}
RESIZE = {"center": "crop", "squash": "squash", "border": "pad"}  # timm's names


@dataclass(frozen=True)
class PublishedImages:
    """The images on which published weights were trained; the fields are those of `ImageSpec`."""

    mean: tuple[float, ...]
    std: tuple[float, ...]
    size: tuple[int, int]
    resize: str
    crop_share: float
    interpolation: str


def published_images(name: str) -> PublishedImages | None:
    """Return the images on which the pretrained weights of an encoder were trained.

    Args:
        name: an encoder's name, as in `EncoderConfig`.

    Returns:
        None for encoders without published weights.

    Raises:
        UserError: if there is no such encoder.

    Example:
        >>> images = published_images("tf_efficientnet_lite0")
        >>> images.mean, images.size, images.resize, images.crop_share, images.interpolation
        ((0.5, 0.5, 0.5), (224, 224), 'crop', 0.875, 'bicubic')
    """
    if name == "small" or (":" in name):
        return None
    if name.startswith(TORCHVISION):
        return _of_torchvision(torchvision_name(name))
    if name.startswith(TRANSFORMERS):
        return _of_transformers(name)
    import timm

    published = timm.get_pretrained_cfg(timm_name(name))
    if published is None or not published.has_weights:
        return None
    return PublishedImages(
        tuple(published.mean),
        tuple(published.std),
        (published.input_size[1], published.input_size[2]),
        RESIZE.get(published.crop_mode, "crop"),
        published.crop_pct,
        _interpolation(published.interpolation),
    )


def image_keywords(
    options: ImageOptions, published: PublishedImages | None, channels: int | None
) -> dict[str, Any]:
    """Return the keywords of `data.spec.infer_image_spec`: the options, else what the weights were trained on.

    Args:
        options: the user's options.
        published: of the weights, if they are published ones.
        channels: 1 or 3; None if the data decides.

    Example:
        >>> image_keywords(ImageOptions(image_size=96), published_images("resnet18.tv_in1k"), 3)["crop_share"]
        0.875
        >>> image_keywords(ImageOptions(resize="pad"), published_images("resnet18.tv_in1k"), 3)["crop_share"]
    """
    names = "image_size", "mean", "std", "resize", "crop_share", "interpolation", "draft"
    values = {name: getattr(options, name) for name in names} | {"channels": channels}
    if published is None:
        return values
    trained: dict[str, Any] = {"image_size": published.size, "interpolation": published.interpolation}
    if channels == len(published.mean):
        trained |= {"mean": published.mean, "std": published.std}
    if options.resize in (None, published.resize):  # the share is that of this preparation
        trained |= {"resize": published.resize, "crop_share": published.crop_share}
    return values | {name: value for name, value in trained.items() if values[name] is None}


def _of_torchvision(short: str) -> PublishedImages:
    settings = torchvision_weights(short).transforms.keywords
    crop = settings.get("crop_size", 224)
    share = crop / settings.get("resize_size", 256)
    mode = settings.get("interpolation")
    return PublishedImages(
        *IMAGENET, (crop, crop), "crop", share, _interpolation("bilinear" if mode is None else mode.value)
    )


def _of_transformers(name: str) -> PublishedImages | None:
    """Return the images of an image processor of transformers; None without one."""
    from resemblance.encoders.user.from_transformers import preparation_of

    settings = preparation_of(name)
    if "image_mean" not in settings:
        return None
    scaled = _side(settings.get("size"))
    crop = _side(settings.get("crop_size")) if settings.get("do_center_crop") else None
    side = crop or scaled or 224
    keeps_ratio = crop is not None or "shortest_edge" in _mapping(settings.get("size"))
    share = settings.get("crop_pct") or (side / scaled if crop and scaled else 1.0)
    return PublishedImages(
        tuple(settings["image_mean"]),
        tuple(settings["image_std"]),
        (side, side),
        "crop" if keeps_ratio else "squash",
        min(max(float(share), SMALLEST_SHARE), 1.0),
        PILLOW.get(settings.get("resample", 2), "bilinear"),
    )


def _side(size: Any) -> int | None:
    if isinstance(size, int):
        return size
    values = [value for value in _mapping(size).values() if isinstance(value, int)]
    return min(values, default=None)


def _mapping(size: Any) -> dict[str, Any]:
    return size if isinstance(size, dict) else {}


def _interpolation(name: str) -> str:
    return name if name in INTERPOLATIONS else "bilinear"  # timm's "random" mixes bilinear and bicubic
