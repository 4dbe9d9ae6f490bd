"""Encoders from transformers: its image classifiers, by their name on the Hugging Face Hub or a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import nn

from resemblance.config.encoder import TRANSFORMERS, EncoderConfig
from resemblance.config.errors import UserError
from resemblance.config.files.named_files import HUB_ID
from resemblance.config.image import ImageSpec
from resemblance.encoders.base import UNTRAINED, first_line
from resemblance.encoders.from_module import ModuleEncoder
from resemblance.encoders.hub import require

INSTALL = "pip install 'resemblance[transformers]'"


def transformers_encoder(
    config: EncoderConfig, image: ImageSpec, num_classes: int | None, load: bool = True
) -> ModuleEncoder:
    """Build one of the image classifiers of transformers as an encoder.

    Its configuration is read from the hub, the hub's cache, or a folder of ``save_pretrained``; weights only from
    safetensors. Code of the repository is never run.

    Args:
        config: ``transformers/OWNER/NAME`` or ``transformers/FOLDER``, weights, cut.
        image: size and channels.
        num_classes: K, or None for no classifier.
        load: whether to load the weights that the configuration names.

    Raises:
        UserError: if transformers is not installed, the name is not that of an image classifier, or weights or images
            do not fit.
    """
    name, short = config.encoder, config.encoder.removeprefix(TRANSFORMERS)
    if config.stem == "small":
        raise UserError(
            "--stem small is for the ResNets of timm and torchvision, not for those of transformers"
        )
    pretrained = load and config.weights == "pretrained"
    file = config.weights if load and config.weights not in ("none", "pretrained") else None
    network = _create(name, image, num_classes, pretrained)
    kind = type(network).__name__
    source = f"pretrained ({short})" if pretrained else UNTRAINED
    description = f"transformers {kind}" if file else f"transformers {kind}, {source}"
    encoder = ModuleEncoder(
        name, description, network, image, num_classes, config.cut, file, replace_head=True
    )
    encoder.trained_head &= pretrained or file is not None
    return encoder


def _create(name: str, image: ImageSpec, num_classes: int | None, pretrained: bool) -> nn.Module:
    transformers = _transformers(name)
    place = _place(name)
    try:
        if pretrained:
            found: nn.Module = transformers.AutoModelForImageClassification.from_pretrained(
                place, use_safetensors=True, trust_remote_code=False
            )
            return found
        settings = transformers.AutoConfig.from_pretrained(place, trust_remote_code=False)
        settings.num_labels = num_classes or 2
        settings.num_channels = image.channels
        if hasattr(settings, "image_size"):
            settings.image_size = image.height if image.height == image.width else list(image.size)
        made: nn.Module = transformers.AutoModelForImageClassification.from_config(settings)
        return made
    except (OSError, ValueError) as error:
        raise UserError(
            f"encoder {name}: transformers cannot open an image classifier of this name ({first_line(error)}); give "
            f"{TRANSFORMERS}OWNER/NAME of one on the hub, or {TRANSFORMERS}FOLDER of save_pretrained"
        ) from error


def preparation_of(name: str) -> dict[str, Any]:
    """Return the settings of the image processor of a classifier; empty if it has none.

    Args:
        name: as in `transformers_encoder`.

    Raises:
        UserError: if transformers is not installed.
    """
    place = _place(name)
    try:
        settings: dict[str, Any] = _transformers(name).ImageProcessingMixin.get_image_processor_dict(place)[0]
    except (OSError, ValueError, AttributeError):
        return {}
    return settings


def _place(name: str) -> str:
    """Return the folder or the name on the hub, which must be in the cache or respond within seconds."""
    from huggingface_hub import constants, try_to_load_from_cache

    short = name.removeprefix(TRANSFORMERS)
    folder = Path(short).expanduser()
    if folder.is_dir():
        return str(folder)
    if not HUB_ID.fullmatch(short) or short.startswith("."):
        raise UserError(f"encoder {name}: no such folder, and no name on the hub, which is OWNER/NAME")
    if not isinstance(try_to_load_from_cache(short, "config.json"), str):
        try:
            require(constants.ENDPOINT, short, "HF_HOME")
        except UserError as error:
            raise UserError(
                f"encoder {name} is not in the cache, and {constants.ENDPOINT} does not respond; give "
                f"{TRANSFORMERS}FOLDER of save_pretrained, or a cache that contains it (HF_HOME)"
            ) from error
    return short


def _transformers(name: str) -> Any:
    try:
        import transformers
    except ImportError as error:
        raise UserError(f"encoder {name} needs transformers: {INSTALL}") from error
    return transformers
