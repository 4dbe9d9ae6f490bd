"""Encoders made of any network, cut at a layer: the user's own, and torchvision's."""

from __future__ import annotations

import threading
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from resemblance.config.encoder import EncoderConfig
from resemblance.config.errors import UserError
from resemblance.config.image import ImageSpec
from resemblance.config.user_modules import import_user_module
from resemblance.encoders.base import Encoder, cannot_read, first_line
from resemblance.encoders.checkpoint.stored_head import ONE_OUTPUT
from resemblance.encoders.fitting import load_weights
from resemblance.encoders.grid import find_prefix, tokens_to_map
from resemblance.encoders.probe import evaluating, used_parameters
from resemblance.encoders.surgery import replace
from resemblance.encoders.trace import FoundHead, check_cut, find_classifier, find_cut, trace
from resemblance.encoders.user.early_end import ended_by
from resemblance.encoders.user.linear_calls import ReachedHead, pooled
from resemblance.encoders.user.unwrapped import unwrapped
from resemblance.encoders.user.user_head import input_of_function, linear_head, probe_images


class Captured(NamedTuple):
    """The result of one pass: the cut layer's output, and the classifier's input (None without a classifier)."""

    map: Tensor
    embedding: Tensor | None


class _ReachedCut(BaseException):
    """Raised to end a pass at the cut, where the layers after it are not needed."""


class _Current(threading.local):
    """The current pass of this thread; the hooks do not refer to an encoder, so that copies work without new hooks."""

    captured: dict[str, Tensor] | None = None
    stop: bool = False


_CURRENT = _Current()


def _at_cut(layer: nn.Module, args: tuple[Any, ...], output: Any) -> Tensor | None:
    if _CURRENT.captured is None:
        return None
    _CURRENT.captured["map"] = output[0] if isinstance(output, tuple) else output
    if _CURRENT.stop:
        raise _ReachedCut
    # the next layers may change it in place (as in torchvision's DenseNet)
    return output.clone() if isinstance(output, Tensor) else None


def _at_head(layer: nn.Module, args: tuple[Any, ...]) -> None:
    if _CURRENT.captured is not None:
        _CURRENT.captured["embedding"] = pooled(args[0])


def _end_at_head(layer: nn.Module, args: tuple[Any, ...]) -> None:
    """Leave out what the network does with its logits, which cannot be done with an embedding."""
    if _CURRENT.captured is not None:
        _at_head(layer, args)
        raise ReachedHead


class ModuleEncoder(Encoder):
    """Any network; hooks read the map and the embedding during one ordinary pass.

    The classifier is its last linear layer, 1×1 convolution, or call of a linear function. The map is the output of the
    layer ``cut``; by default of the last layer whose output is a map of several cells, except for pooling and dropout
    layers. Tokens (B, N, D) are arranged on their grid, and channels in the last dimension are moved to the second.

    Args:
        name: the name for messages.
        description: the source of the weights.
        module: the network; it is changed and becomes part of the encoder.
        image: size and channels.
        num_classes: K, or None for no classifier.
        cut: the path of a layer, or None to search for one.
        weights: a file to load, or None.
        replace_head: make a new classifier if the network's does not have K classes, instead of raising an error.
        activation: a module that is applied to the map.

    Raises:
        UserError: if the network cannot read the images, the layer does not exist, or the classes differ.
    """

    def __init__(
        self,
        name: str,
        description: str,
        module: nn.Module,
        image: ImageSpec,
        num_classes: int | None,
        cut: str | None = None,
        weights: str | None = None,
        replace_head: bool = False,
        activation: nn.Module | None = None,
    ) -> None:
        super().__init__(name, description)
        self.module = module
        self.activation = activation
        self._image_size = image.size
        self._function: int | None = None
        images = probe_images(module, image)
        try:
            traced = trace(module, images)
        except Exception as error:  # of any network that reads something else
            raise cannot_read(name, image, error, module) from error
        if cut is not None:
            check_cut(module, cut, name)
        head = find_classifier(module, traced, name, num_classes)
        if cut is None:
            cut = "" if head is None else find_cut(module, traced, head, image.size, name)
        self._cut = cut
        self._head = "" if head is None else head.path
        if weights is not None:
            needed = num_classes is not None
            loaded = load_weights(module, weights, name, self._head, needed)
            self.description, self.entries = f"{description}, {loaded.note}", loaded.entries
            if (head is not None and not head.relation.plain) or not self._head:
                head = find_classifier(module, trace(module, images), name, num_classes)
        self.trained_head = head is not None and (weights is None or loaded.head or not self._head)
        module.get_submodule(cut).register_forward_hook(_at_cut)
        if head is not None:
            self._take_head(head, images, num_classes)
        self._measure(image)
        if head is not None and not head.path:
            self._freeze_unused()
        self._fit_head(num_classes, replace_head)

    def _take_head(self, head: FoundHead, images: Tensor, num_classes: int | None) -> None:
        """Take the classifier out of the network, so that its input is captured instead."""
        if head.notes:
            self.description += f"; {'; '.join(head.notes)}"
        layer = self.module.get_submodule(head.path) if head.path else None
        outputs = len(head.call.weight)
        plain = head.relation.plain and isinstance(layer, nn.Linear) and outputs > 1
        if layer is None:
            self._function = head.call.number
        else:
            placeholder = nn.Identity()
            replace(self.module, head.path, placeholder)
            goes_on = all(self._runs(images[:count]) for count in (1, 2))
            placeholder.register_forward_pre_hook(_at_head if goes_on else _end_at_head)
        if plain:
            self.classifier = layer
            return
        two = outputs == 1 and num_classes == 2
        self.description += f"; {ONE_OUTPUT}" if two else ""
        self.classifier = linear_head(head, layer, two)

    def _runs(self, images: Tensor) -> bool:
        """Check whether the network can go on with an embedding where it expects logits."""
        try:
            with evaluating(self.module), torch.no_grad():
                self.module(images)
        except Exception:  # of any code of the user's
            return False
        return True

    def _freeze_unused(self) -> None:
        """Let no parameter of a classifier that is a function require a gradient: its copy is what is trained."""
        used = used_parameters(self.module, self._dummy(), self._read_all)
        for parameter in self.module.parameters():
            parameter.requires_grad_(parameter.requires_grad and parameter in used)

    def _read_all(self, images: Tensor) -> Tensor:
        features = self._features(images)
        return self._map(features).sum() + self._embed(features).sum()

    def _fit_head(self, num_classes: int | None, replace_head: bool) -> None:
        if num_classes is None:
            self.drop_head()
            self.trained_head = False
        elif self.classifier is None or (self.num_classes != num_classes and replace_head):
            self.classifier = nn.Linear(self.embedding, num_classes)
            self.trained_head = False
        elif self.num_classes != num_classes:
            raise UserError(
                f"encoder {self.name} has {self.num_classes} classes, but {num_classes} are needed; "
                f"let it end in a linear layer with {num_classes} outputs"
            )

    @classmethod
    def from_user(
        cls,
        module: nn.Module,
        config: EncoderConfig,
        image: ImageSpec,
        num_classes: int | None,
        load: bool = True,
    ) -> ModuleEncoder:
        """Make an encoder of a copy of the user's network, which stays unchanged.

        Raises:
            UserError: as in the class, and for options that only published networks have.
        """
        if config.weights == "pretrained":
            raise UserError("your own network has no published weights; use --weights none or --weights FILE")
        if config.stem == "small":
            raise UserError(
                "--stem small is for the ResNets of timm and torchvision, not for your own network"
            )
        file = config.weights if load and config.weights != "none" else None
        name = config.encoder if ":" in config.encoder else type(module).__name__
        module, notes = unwrapped(module, name)
        description = f"{name}, the user's network" + ("" if file else " with its own weights")
        description = "; ".join([description, *notes])
        return cls(name, description, module, image, num_classes, config.cut, file)

    @property
    def _network(self) -> nn.Module:
        return self.module

    def _features(self, images: Tensor) -> Captured:
        captured: dict[str, Tensor] = {}
        _CURRENT.captured, _CURRENT.stop = captured, self.stop_at_map
        try:
            with ended_by(_ReachedCut, ReachedHead):
                if self._function is None:
                    self.module(images)
                else:
                    captured |= input_of_function(self.module, images, self._function)
        finally:
            _CURRENT.captured = None
        if "map" not in captured:
            raise RuntimeError(f"layer {self._cut} did not run")
        return Captured(captured["map"], captured.get("embedding"))

    def _map(self, features: Captured) -> Tensor:
        latents, embedding = features
        if latents.ndim == 3:
            size = self._image_size
            latents = tokens_to_map(latents, size, find_prefix(latents.shape[1], size))
        elif embedding is not None and embedding.shape[1] == latents.shape[-1] != latents.shape[1]:
            latents = latents.permute(0, 3, 1, 2)
        return latents if self.activation is None else self.activation(latents)

    def _embed(self, features: Captured) -> Tensor:
        return self.map(features).mean((2, 3)) if features.embedding is None else features.embedding


def import_module_function(name: str) -> nn.Module:
    """Call the user's ``package.module:function``, which builds and returns a network.

    The working folder is searched first, as ``python -m`` does.

    Raises:
        UserError: if it cannot be imported, does not exist, fails, or does not return a network.

    Example:
        >>> import_module_function("torch.nn:Identity")
        Identity()
    """
    path, _, function = name.partition(":")
    build = getattr(import_user_module(path, f"encoder {name}"), function, None)
    if build is None:
        raise UserError(f"{path} has no function {function!r}; write package.module:function")
    try:
        module = build()
    except Exception as error:
        raise UserError(f"{name}() failed: {type(error).__name__}: {first_line(error)}") from error
    if not isinstance(module, nn.Module):
        raise UserError(f"{name}() returned {type(module).__name__}; an nn.Module was expected")
    return module
