"""Open the trained classifier to convert: a model of this library, a network, or one by name."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from resemblance.config.encoder import TRANSFORMERS, EncoderConfig, plain_name
from resemblance.config.errors import UserError
from resemblance.config.files.named_files import SEPARATOR, is_model_folder, split_entry
from resemblance.config.groups import ImageOptions
from resemblance.config.image import ImageSpec
from resemblance.config.model import ModelSpec
from resemblance.config.runs import ConvertOptions
from resemblance.convert.class_order import class_order, read_classes
from resemblance.convert.normalisation import normalisation_of_model, normalisation_source
from resemblance.core.classifier import Classifier
from resemblance.core.model_encoder import ModelEncoder
from resemblance.data.sources.source import DataSplits
from resemblance.data.spec import expand, infer_image_spec
from resemblance.encoders.build import Encoder, build_encoder
from resemblance.encoders.checkpoint.stored_head import ONE_OUTPUT
from resemblance.encoders.fitting import OWN_NETWORK, SeveralWeights
from resemblance.encoders.published import image_keywords, published_images
from resemblance.methods.blackbox.model import BlackBox
from resemblance.methods.kmex.model import KMEx
from resemblance.methods.loading import load

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
        normalisation: mean and deviation of the images, and where they come from, for the user.
        fixed: whether it is a model of this library, whose images have a fixed size.
        entries: the sets of weights in the file that fit, the opened one first; empty if there is no choice.
        reopen: opens the classifier with another of them.
    """

    name: str
    encoder: Encoder
    spec: ModelSpec
    order: Tensor
    settings: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    normalisation: str = ""
    fixed: bool = False
    entries: tuple[str, ...] = ()
    reopen: Callable[[str], Original] | None = None


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
    if isinstance(model, Classifier):
        return _from_model(copy.deepcopy(model), model.name, splits, options, names)
    if isinstance(model, nn.Module):
        kind = type(model)
        config = EncoderConfig(f"{kind.__module__}:{kind.__qualname__}", weights, stem, cut)
        return _from_network(kind.__name__, config, model, splits, options, names)
    if is_model_folder(model):
        opened = load(model, allow_import=options.allow_import)
        return _from_model(opened, Path(model).resolve().name, splits, options, names)
    model = plain_name(str(model))
    if weights == "none" and ":" not in str(model) and not options.force:
        published_images(str(model))  # refuses a misspelt name, which is the more likely mistake
        raise UserError(
            f"{model} is an architecture without trained weights: give its trained --weights FILE"
            + (", --weights pretrained, " if model.startswith(TRANSFORMERS) else ", ")
            + "or the folder of a run"
        )
    config = EncoderConfig(str(model), weights, stem, cut)
    return _from_network(str(model), config, None, splits, options, names)


def _from_model(
    model: Classifier, name: str, splits: DataSplits, images: ImageOptions, names: tuple[str, ...] | None
) -> Original:
    model.eval()
    outputs = names or model.spec.classes
    order = class_order(outputs, splits.classes, name, names is not None)
    if model.spec.image.window and splits.window is None and images.window is None:
        low, high = model.spec.image.window
        raise UserError(f"{name} reads its images by a window; add --window {low:g},{high:g}")
    image, settings, encoder = replace(_prepared(model.spec.image, images), window=splits.window), {}, None
    shown = image
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
        mean, std = expand(images.mean, image.channels, "mean"), expand(images.std, image.channels, "std")
        image = replace(image, mean=mean or image.mean, std=std or image.std)
        shown = image
    notes = []
    if names is None and tuple(outputs) != tuple(splits.classes):
        notes.append(f"{name} was trained with its classes in another order; they are matched by name")
    normalised = normalisation_of_model(shown, images, name)
    spec = ModelSpec(splits.classes, image)
    return Original(name, encoder, spec, order, settings, notes, normalised, fixed=True)


def _prepared(image: ImageSpec, options: ImageOptions) -> ImageSpec:
    """Return the images of a model, prepared as the options say."""
    resize = options.resize or image.resize
    share = options.crop_share or (image.crop_share if resize == image.resize else 1.0)
    interpolation = options.interpolation or image.interpolation
    draft = image.draft if options.draft is None else options.draft
    return replace(image, resize=resize, crop_share=share, interpolation=interpolation, draft=draft)


def _from_network(
    name: str,
    config: EncoderConfig,
    module: nn.Module | None,
    splits: DataSplits,
    options: ConvertOptions,
    names: tuple[str, ...] | None,
) -> Original:
    single = names[0] if names is not None and len(names) == 1 and len(splits.classes) == 2 else None
    if single in splits.classes:  # of one output
        names = tuple(sorted(splits.classes, key=lambda one: one == single))
    order = class_order(names or splits.classes, splits.classes, name, names is not None)
    entries: tuple[str, ...] = ()
    try:
        encoder, image = _build(config, module, splits, options, len(splits.classes), options.force)
    except SeveralWeights as error:
        entries, file = error.entries, split_entry(config.weights)[0]
        config = replace(config, weights=f"{file}{SEPARATOR}{entries[0]}")
        encoder, image = _build(config, module, splits, options, len(splits.classes), options.force)
    entries = entries or encoder.entries
    notes = [f"classifier: {encoder.description}"]
    one_output = ONE_OUTPUT in encoder.description
    if one_output:
        positive = splits.classes[order.tolist().index(1)]
        notes.append(f"its one output stands for {positive}; --classes CLASS changes this")
    elif single is not None:
        raise UserError(
            f"--classes names one class, but {name} has an output for each: name all, in the order of the outputs"
        )
    grey = infer_channels(splits) == 1
    if image.channels == 3 and grey:
        notes.append(f"{name} reads RGB; grey images are repeated in its three channels")
    elif image.channels == 1 and not grey:
        notes.append(f"{name} reads grey images; the data's colour images are converted to grey")
    if not encoder.trained_head:
        if not options.force:
            raise UserError(
                f"{encoder.description}: no trained classifier for these {len(splits.classes)} classes, so its "
                f"accuracy cannot be checked; {_head_cure(encoder, config)}, or --force to cluster its embeddings"
            )
        encoder.drop_head()
        notes.append("converted without its classifier, so there is no black box to compare with")
    settings = {key: getattr(config, key) for key in ENCODER_FIELDS}

    def reopen(entry: str) -> Original:
        weights = f"{split_entry(config.weights)[0]}{SEPARATOR}{entry}"
        return _from_network(name, replace(config, weights=weights), module, splits, options, names)

    source = normalisation_source(image, options, config, module)
    spec = ModelSpec(splits.classes, image)
    return Original(name, encoder, spec, order, settings, notes, source, False, entries, reopen)


def _head_cure(encoder: Encoder, config: EncoderConfig) -> str:
    """Return what gives an encoder a trained head."""
    if "several layers" in encoder.description:
        return OWN_NETWORK
    if config.weights in ("none", "pretrained"):
        return "give --weights FILE with its trained head"
    return "give weights whose head has one output for each class"


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
    several = [values for values in (images.mean, images.std) if values and len(values) > 1]
    required = images.channels or (len(several[0]) if several else None)
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
