"""Encoders from torchvision."""

from __future__ import annotations

from typing import Any

from torch import nn
from torchvision import models

from resemblance.config.encoder import EncoderConfig
from resemblance.config.errors import UserError
from resemblance.config.image import ImageSpec
from resemblance.encoders.base import UNTRAINED, first_line
from resemblance.encoders.from_module import ModuleEncoder
from resemblance.encoders.hub import require_torchvision
from resemblance.encoders.names import torchvision_name, torchvision_weights
from resemblance.encoders.stem import use_small_stem, wants_small_stem
from resemblance.encoders.surgery import grey_first_convolution


def torchvision_encoder(
    config: EncoderConfig, image: ImageSpec, num_classes: int | None, load: bool = True
) -> ModuleEncoder:
    """Build one of torchvision's classifiers as an encoder.

    Pretrained weights are version 1 of ImageNet's, as in the papers, where torchvision has it. For grey images the
    first convolution is summed over RGB. DenseNet's map includes the ReLU of its forward pass.

    Raises:
        UserError: if the name is unknown, or weights or images do not fit.
    """
    short = torchvision_name(config.encoder)
    pretrained = load and config.weights == "pretrained"
    network = _create(short, image, num_classes, pretrained)
    description = f"torchvision {short}, {UNTRAINED}"
    if pretrained:
        description = f"torchvision {short}, pretrained ({torchvision_weights(short)})"
    if image.channels == 1:
        grey_first_convolution(network)
    if wants_small_stem(network, config.encoder, config.stem, config.weights, image):
        use_small_stem(network)
        description += ", with a new small stem" if pretrained else ""
    file = config.weights if load and config.weights not in ("none", "pretrained") else None
    encoder = ModuleEncoder(
        config.encoder,
        f"torchvision {short}" if file else description,
        network,
        image,
        num_classes,
        config.cut,
        file,
        replace_head=True,
        activation=nn.ReLU() if isinstance(network, models.DenseNet) and config.cut is None else None,
    )
    encoder.trained_head &= pretrained or file is not None
    return encoder


def _create(short: str, image: ImageSpec, num_classes: int | None, pretrained: bool) -> nn.Module:
    options: dict[str, Any] = {}
    if short.startswith("vit_") and image.height == image.width:
        options["image_size"] = image.height
    if short in ("googlenet", "inception_v3"):
        options |= {"aux_logits": False, "init_weights": False}
    if pretrained:
        options["weights"] = torchvision_weights(short)
        require_torchvision(options["weights"].url, f"torchvision/{short}")
    elif num_classes is not None:
        options["num_classes"] = num_classes
    try:
        network: nn.Module = models.get_model(short, **options)
    except OSError as error:
        raise UserError(
            f"pretrained weights of torchvision/{short} could not be downloaded ({first_line(error)}); "
            "use --weights FILE or --weights none"
        ) from error
    except TypeError as error:
        raise UserError(
            f"encoder torchvision/{short} cannot be built ({first_line(error)}); choose another encoder"
        ) from error
    except (RuntimeError, ValueError, AssertionError) as error:
        raise UserError(
            f"encoder torchvision/{short} cannot be built for images of {image.height}x{image.width} pixels "
            f"({first_line(error)}); try another --image-size" + (" or --weights none" if pretrained else "")
        ) from error
    return network
