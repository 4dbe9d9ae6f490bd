"""Encoders from timm: CNNs and vision transformers."""

from __future__ import annotations

import sys
from typing import Any

import timm
import torch
from torch import Tensor, nn

from resemblance.config.encoder import EncoderConfig
from resemblance.config.errors import UserError
from resemblance.config.image import ImageSpec
from resemblance.encoders.base import UNTRAINED, Encoder, first_line
from resemblance.encoders.fitting import load_weights
from resemblance.encoders.grid import find_grid, find_prefix, tokens_to_map
from resemblance.encoders.hub import packaged_weights, pretrained_timm_source
from resemblance.encoders.names import timm_name
from resemblance.encoders.stem import use_small_stem, wants_small_stem
from resemblance.encoders.surgery import replace

IMAGENET_CLASSES = 1000


class TimmEncoder(Encoder):
    """A timm network, cut after `forward_features`, the only cut that works for all of them.

    VGG and MobileNet-v3 have more layers before their classifier, ConvNeXt a norm; these belong to `embed`. The
    features of a vision transformer are its tokens; its map consists of the patch tokens on their grid. DenseNet's
    features end with the final norm and its ReLU, VGG's with the last max-pool, as in ProtoPNet. The
    last map of timm's `forward_intermediates` is the same for most networks, but comes before the last layers of
    EfficientNet (320 channels instead of 1280), HRNet and NFNet, so it is not used.

    Args:
        config: name, weights, stem.
        image: size and channels; transformers are built for it.
        num_classes: K, or None for no classifier.
        load: whether to load the weights that the configuration names.
    """

    net: Any  # timm's networks share forward_features and the like without a common class

    def __init__(
        self, config: EncoderConfig, image: ImageSpec, num_classes: int | None, load: bool = True
    ) -> None:
        name = timm_name(config.encoder)
        super().__init__(config.encoder, f"timm {name}, {UNTRAINED}")
        if config.cut is not None:
            raise UserError("--cut is only for your own module; a timm encoder is cut where its features end")
        pretrained = load and config.weights == "pretrained"
        packaged = packaged_weights(name) if pretrained else None
        self.net = _create(name, config, image, num_classes, pretrained and packaged is None)
        path = classifier_path(self.net, name)
        new_stem = ""
        if wants_small_stem(self.net, config.encoder, config.stem, config.weights, image):
            new_stem = use_small_stem(self.net)
        if packaged is not None:
            loaded = load_weights(self.net, packaged.file, name, path, num_classes == IMAGENET_CLASSES)
            self.trained_head = loaded.head
            self.description = f"timm {name}, pretrained ({packaged.source}: {loaded.note})"
        elif pretrained:
            published = self.net.pretrained_cfg
            self.trained_head = published["num_classes"] == num_classes
            source = published.get("hf_hub_id") or published.get("url")
            self.description = f"timm {name}, pretrained ({source})"
            if new_stem:
                self.description += ", with a new small stem"
        elif load and config.weights != "none":
            loaded = load_weights(
                self.net, config.weights, config.encoder, path, num_classes is not None, _convert
            )
            self.trained_head, self.entries = loaded.head, loaded.entries
            self.description = f"timm {name}, {loaded.note}"
        self.classifier = as_linear(replace(self.net, path, nn.Identity()))
        if num_classes is None:
            self.drop_head()
        self.prefix = int(getattr(self.net, "num_prefix_tokens", 0))
        self._image_size = image.size
        self._measure(image)

    @property
    def _network(self) -> nn.Module:
        network: nn.Module = self.net
        return network

    def _features(self, images: Tensor) -> Tensor:
        features: Tensor = self.net.forward_features(images)
        if not isinstance(features, Tensor):
            raise UserError(
                f"encoder {self.name} has features in {len(features)} parts of different sizes, not in one map: choose "
                "another encoder"
            )
        return features

    def _map(self, features: Tensor) -> Tensor:
        if features.ndim == 3:
            size, count, prefix = self._image_size, features.shape[1], self.prefix
            if (
                find_grid(count - prefix, size) is None
            ):  # of CoaT, which does not say that it has a class token
                prefix = find_prefix(count, size)
            return tokens_to_map(features, size, prefix)
        if getattr(self.net, "output_fmt", "NCHW") == "NHWC":
            return features.permute(0, 3, 1, 2)
        return features

    def _embed(self, features: Tensor) -> Tensor:
        embedding: Tensor = self.net.forward_head(features, pre_logits=True)
        return embedding


def _create(
    name: str, config: EncoderConfig, image: ImageSpec, num_classes: int | None, pretrained: bool
) -> Any:
    options: dict[str, Any] = {"in_chans": image.channels, "num_classes": num_classes or 1}
    published = timm.get_pretrained_cfg(name)
    if published is not None and published.fixed_input_size:
        options["img_size"] = image.size
    if pretrained:
        options |= pretrained_timm_source(name)
    try:
        try:
            network = timm.create_model(name, pretrained=pretrained, **options)
        except TypeError:
            if options.pop("img_size", None) is None:
                raise
            network = timm.create_model(name, pretrained=pretrained, **options)
    except OSError as error:
        raise UserError(
            f"pretrained weights of {name} could not be downloaded ({first_line(error)}); "
            "use --weights FILE or --weights none"
        ) from error
    except (TypeError, KeyError, AttributeError, NotImplementedError) as error:
        raise UserError(
            f"encoder {name} cannot be built by timm {timm.__version__} ({first_line(error)}); choose another encoder"
        ) from error
    except (RuntimeError, ValueError, AssertionError) as error:
        raise UserError(
            f"encoder {name} cannot be built for {image.channels}-channel images of "
            f"{image.height}x{image.width} pixels, weights {config.weights} ({first_line(error)}); "
            "try another --image-size" + (" or --weights none" if pretrained else "")
        ) from error
    return network


def classifier_path(network: Any, name: str) -> str:
    """Return the path of a timm network's classifier.

    Raises:
        UserError: if it has none, or several, as distilled transformers have.
    """
    classifier = network.get_classifier() if hasattr(network, "get_classifier") else None
    several = list(classifier) if isinstance(classifier, tuple | list | nn.ModuleList) else []
    paths = {module: path for path, module in network.named_modules()}
    listed = ", ".join(str(paths.get(module, "?")) for module in several)
    if len(several) > 1:
        plain = name.partition(".")[0].replace("_distilled", "").removesuffix("_dist")
        hint = f", such as {plain}" if plain != name.partition(".")[0] and timm.is_model(plain) else ""
        raise UserError(
            f"encoder {name} has {len(several)} classifiers ({listed}), whose outputs it combines; choose an encoder "
            f"with one{hint}"
        )
    if isinstance(classifier, nn.Module) and not isinstance(classifier, nn.Identity):
        # SAM and Sequencer return the whole head, with its pooling.
        inner = [
            path for path, module in classifier.named_modules() if isinstance(module, nn.Linear | nn.Conv2d)
        ]
        return (
            ".".join(part for part in (paths[classifier], *inner[:1]) if part)
            if len(inner) == 1
            else paths[classifier]
        )
    raise UserError(f"encoder {name} has no classifier of its own in timm; choose another encoder")


def as_linear(classifier: nn.Module) -> nn.Module:
    """Return a linear layer for a 1×1 convolution, which reads a pooled map in DLA and DPN; other layers as they are.

    Example:
        >>> as_linear(nn.Conv2d(8, 3, 1))
        Linear(in_features=8, out_features=3, bias=True)
    """
    if not isinstance(classifier, nn.Conv2d) or classifier.kernel_size != (1, 1):
        return classifier
    weight, bias = classifier.weight, classifier.bias
    linear = nn.Linear(
        weight.shape[1], len(weight), bias=bias is not None, device=weight.device, dtype=weight.dtype
    )
    with torch.no_grad():
        linear.weight.copy_(weight.flatten(1))
        if bias is not None:
            linear.bias.copy_(bias)
    return linear


def _convert(state: dict[str, Tensor], network: nn.Module) -> dict[str, Tensor]:
    """Rename the tensors of an original release to timm's names, as timm does for its downloads."""
    module = sys.modules[type(network).__module__]
    convert = getattr(module, "checkpoint_filter_fn", None) or getattr(module, "_filter_fn", None)
    if convert is None:
        return state
    try:
        try:
            converted: dict[str, Tensor] = convert(dict(state), network)
        except TypeError:
            converted = convert(dict(state))
    except Exception:  # the function expects the original release: the file is something else
        return state
    return {key: value for key, value in converted.items() if isinstance(value, torch.Tensor)}
