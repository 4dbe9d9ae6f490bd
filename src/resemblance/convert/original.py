"""Open the trained classifier to convert: a model of this library, a network, or one by name."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from resemblance.config.encoder import EncoderConfig, plain_name
from resemblance.config.errors import UserError
from resemblance.config.groups import ImageOptions
from resemblance.config.image import ImageSpec
from resemblance.config.model import ModelSpec
from resemblance.config.runs import ConvertOptions
from resemblance.core.classifier import Classifier
from resemblance.core.model_encoder import ModelEncoder
from resemblance.data.sources.source import DataSplits
from resemblance.data.spec import infer_image_spec
from resemblance.data.text import reason
from resemblance.encoders.build import Encoder, build_encoder
from resemblance.encoders.names import TORCHVISION
from resemblance.encoders.published import image_keywords, published_images
from resemblance.methods.blackbox.model import BlackBox
from resemblance.methods.kmex.model import KMEx
from resemblance.methods.loading import load
from resemblance.store import HUB, hub_hint

ENCODER_FIELDS = ("encoder", "weights", "stem", "cut")


@dataclass
class Original:
    """A trained classifier as an encoder, which returns its embeddings.

    Args:
        name: its name in texts.
        encoder: the encoder with its classifier.
        spec: the data's classes, and images as the classifier reads them.
        order: (C,) the classifier's output for each class of the data.
        settings: fields of the configuration of KMEx.
        notes: notes for the user.
    """

    name: str
    encoder: Encoder
    spec: ModelSpec
    order: Tensor
    settings: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def open_original(model: str | Path | nn.Module, splits: DataSplits, options: ConvertOptions) -> Original:
    """Open the classifier to convert.

    Args:
        model: a run or model folder, ``hf:OWNER/NAME`` (a model on the Hugging Face Hub), a timm name,
            ``torchvision/NAME``, ``package.module:function``, or a network.
        splits: the images it was trained for.
        options: how to open the classifier (``weights``, ``stem``, ``cut``, ``classes``, ``allow_import``), and the
            size and normalisation of its images; with ``force``, a last layer that does not fit is left out.

    Raises:
        UserError: if it cannot be opened, or its outputs do not fit the classes.
    """
    names = None if options.classes is None else read_classes(options.classes)
    weights, stem, cut = options.weights, options.stem, options.cut
    if isinstance(model, str) and not Path(model).expanduser().exists():
        model = plain_name(model)
    if isinstance(model, Classifier):
        return _from_model(copy.deepcopy(model), model.name, splits, options, names)
    if isinstance(model, nn.Module):
        kind = type(model)
        config = EncoderConfig(f"{kind.__module__}:{kind.__qualname__}", weights, stem, cut)
        return _from_network(kind.__name__, config, model, splits, options, names)
    if _is_folder(model):
        opened = load(model, allow_import=options.allow_import)
        return _from_model(opened, Path(model).resolve().name, splits, options, names)
    if weights == "none" and ":" not in str(model) and not options.force:
        published_images(str(model))  # refuses a misspelt name, which is the more likely mistake
        raise UserError(
            f"{model} is an architecture without trained weights: give its trained --weights FILE, "
            "or the folder of a run"
        )
    config = EncoderConfig(str(model), weights, stem, cut)
    return _from_network(str(model), config, None, splits, options, names)


def read_classes(classes: str | Sequence[str]) -> tuple[str, ...]:
    """Return class names from a list, from text with commas, or from a file with one name per line.

    Example:
        >>> read_classes("cat, dog"), read_classes(["a", "b"])
        (('cat', 'dog'), ('a', 'b'))
    """
    if not isinstance(classes, str):
        return tuple(classes)
    if "," not in classes and Path(classes).is_file():
        try:
            lines = Path(classes).read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"--classes {classes} cannot be read: {reason(error)}") from None
        return tuple(line.strip() for line in lines if line.strip())
    return tuple(name.strip() for name in classes.split(","))


def _is_folder(model: str | Path) -> bool:
    path = Path(model).expanduser()
    if path.is_file():
        raise UserError(
            f"{model} is a file; MODEL is a run folder, a timm name (give the file to --weights), "
            "or package.module:function"
        )
    name = str(model)
    if path.is_dir() or name.startswith(HUB):
        return True
    like_a_path = "/" in name and not name.startswith(TORCHVISION) and ":" not in name
    if isinstance(model, Path) or name.startswith((".", "~", "/")) or like_a_path:
        raise UserError(f"no such folder: {model}{hub_hint(model)}")
    return False


def _order(outputs: tuple[str, ...], classes: tuple[str, ...], name: str, from_option: bool) -> Tensor:
    """Return the output for each class of the data, matched by name."""
    if sorted(outputs) != sorted(classes):
        missing = [c for c in classes if c not in outputs]
        unknown = [o for o in outputs if o not in classes]
        differences = [
            f"only {owner} has {', '.join(names[:5])}{', …' if len(names) > 5 else ''}"
            for owner, names in (("the data", missing), ("--classes" if from_option else name, unknown))
            if names
        ]
        advice = (
            "name each class of the data once"
            if from_option
            else "give --classes with the data's names in the order of the outputs; for a class without images, "
            "make an empty folder"
        )
        raise UserError(f"the classes differ: {', '.join(differences) or 'a name is repeated'}; {advice}")
    return torch.tensor([outputs.index(c) for c in classes])


def _from_model(
    model: Classifier, name: str, splits: DataSplits, images: ImageOptions, names: tuple[str, ...] | None
) -> Original:
    model.eval()
    outputs = names or model.spec.classes
    order = _order(outputs, splits.classes, name, names is not None)
    if model.spec.image.window and splits.window is None and images.window is None:
        low, high = model.spec.image.window
        raise UserError(f"{name} reads its images by a window; add --window {low:g},{high:g}")
    image, settings, encoder = replace(_prepared(model.spec.image, images), window=splits.window), {}, None
    if isinstance(model, BlackBox | KMEx):
        encoder = model.encoder
        settings = {key: getattr(model.config, key) for key in ENCODER_FIELDS}
        if isinstance(model, KMEx):
            settings["base"] = model.config.base
            order = model.outputs.cpu()[order] if names is None else order
    if images.image_size or images.channels:
        raise UserError(
            f"{name} fixes the size and channels of its images; leave out --image-size and --channels"
        )
    if encoder is None or isinstance(encoder, ModelEncoder):
        if images.mean or images.std:
            raise UserError(f"{name} normalises its images itself; leave out --mean and --std")
        if encoder is None:
            base = {"method": model.name, "config": asdict(model.config), "spec": model.spec.to_dict()}
            settings = {"encoder": getattr(model.config, "encoder", "small"), "base": base}
            encoder = ModelEncoder(model)
        # The model inside normalises the images, but does not read their files.
        image = replace(image, mean=(0.0,) * image.channels, std=(1.0,) * image.channels)
    else:
        image = replace(image, mean=images.mean or image.mean, std=images.std or image.std)
    notes = []
    if names is None and tuple(outputs) != tuple(splits.classes):
        notes.append(f"{name} was trained with its classes in another order; they are matched by name")
    return Original(name, encoder, ModelSpec(splits.classes, image), order, settings, notes)


def _prepared(image: ImageSpec, options: ImageOptions) -> ImageSpec:
    """Return the images of a model, prepared as the options say."""
    resize = options.resize or image.resize
    share = options.crop_share or (image.crop_share if resize == image.resize else 1.0)
    interpolation = options.interpolation or image.interpolation
    return replace(image, resize=resize, crop_share=share, interpolation=interpolation)


def _from_network(
    name: str,
    config: EncoderConfig,
    module: nn.Module | None,
    splits: DataSplits,
    options: ConvertOptions,
    names: tuple[str, ...] | None,
) -> Original:
    order = _order(names or splits.classes, splits.classes, name, names is not None)
    encoder, image = _build(config, module, splits, options, len(splits.classes), options.force)
    notes = [f"classifier: {encoder.description}"]
    grey = infer_channels(splits) == 1
    if image.channels == 3 and grey:
        notes.append(f"{name} reads RGB; grey images are repeated in its three channels")
    elif image.channels == 1 and not grey:
        notes.append(f"{name} reads grey images; the data's colour images are converted to grey")
    if not encoder.trained_head:
        if not options.force:
            raise UserError(
                f"{encoder.description}: no trained classifier for these {len(splits.classes)} classes, so its "
                "accuracy cannot be checked; give --weights, or --force to cluster its embeddings"
            )
        encoder.drop_head()
        notes.append("converted without its classifier, so there is no black box to compare with")
    settings = {key: getattr(config, key) for key in ENCODER_FIELDS}
    return Original(name, encoder, ModelSpec(splits.classes, image), order, settings, notes)


def _build(
    config: EncoderConfig,
    module: nn.Module | None,
    splits: DataSplits,
    images: ImageOptions,
    classes: int,
    headless: bool,
) -> tuple[Encoder, ImageSpec]:
    """Build the encoder for the data's number of channels, or else for the other one."""
    pretrained = module is None and config.weights == "pretrained"
    published = published_images(config.encoder) if pretrained else None
    required = images.channels or (len(images.mean) if images.mean else None)
    first = required or (3 if published else infer_channels(splits))
    errors: list[UserError] = []
    for channels in (first,) if required else (first, 4 - first):
        try:
            image = infer_image_spec(splits, **image_keywords(images, published, channels))
            for outputs in (classes, None) if headless else (classes,):
                try:
                    encoder = build_encoder(config, image, outputs, module=module)
                    break
                except UserError:
                    if outputs is None or not headless:
                        raise
            if not required and channels == 1 and "summed over RGB" in encoder.description:
                continue  # a network trained on RGB reads RGB
            return encoder.eval(), image
        except UserError as error:
            errors.append(error)
    raise errors[0] if errors else UserError(f"{config.encoder} cannot be built")


def infer_channels(splits: DataSplits) -> int:
    """Return 1 if all training images are grey, else 3."""
    return 3 if (splits.train.shapes[:, 2] == 3).any() else 1
