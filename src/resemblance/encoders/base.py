"""`Encoder`: the latent map, the embedding and the trained head of a network, from one pass."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Self

import torch
from torch import Tensor, nn

from resemblance.config.errors import UserError
from resemblance.config.image import ImageSpec
from resemblance.encoders.probe import evaluating, used_parameters
from resemblance.encoders.surgery import drop_unused

UNTRAINED = "no pretrained weights"  # in the description of an encoder that starts from random weights
SIXTEEN_BITS = (torch.float16, torch.bfloat16)


class Encoder(nn.Module, ABC):
    """A network in three parts: features, map or embedding, and classifier.

    `features` is the only expensive call; the form of its result depends on the encoder, and only `map` and `embed`
    read it.

    Attributes:
        name: the name as the user wrote it.
        description: the source of the weights, for messages.
        channels: D, the number of channels of the map.
        embedding: E, the length of the classifier's input.
        grid: rows and columns of the map for the image size for which the encoder was built.
        classifier: the last layer, or None after it was dropped.
        trained_head: whether the classifier's weights were loaded, rather than initialised.
        entries: the entries of the weights file that fit, the loaded one first; empty if there is only one.
        stop_at_map: whether all layers after the map were dropped (`keep_map_only`).
    """

    def __init__(self, name: str, description: str) -> None:
        super().__init__()
        self.name = name
        self.description = description
        self.channels = 0
        self.embedding = 0
        self.grid = (0, 0)
        self.classifier: nn.Module | None = None
        self.trained_head = False
        self.entries: tuple[str, ...] = ()
        self.stop_at_map = False
        self._input_shape = (0, 0, 0)

    @abstractmethod
    def _features(self, images: Tensor) -> Any: ...

    @abstractmethod
    def _map(self, features: Any) -> Tensor: ...

    @abstractmethod
    def _embed(self, features: Any) -> Tensor: ...

    def features(self, images: Tensor) -> Any:
        """Run the network on normalised images (B, C, H, W)."""
        return self._features(images.to(self.dtype) if self.dtype in SIXTEEN_BITS else images)

    def map(self, features: Any) -> Tensor:
        """Return the latent map (B, D, h, w) of `features`."""
        return self._wide(self._map(features))

    def embed(self, features: Any) -> Tensor:
        """Return the input of the trained classifier, (B, E); after `keep_map_only`, the mean of the map."""
        return self.map(features).mean((2, 3)) if self.stop_at_map else self._wide(self._embed(features))

    def _wide(self, tensor: Tensor) -> Tensor:
        """Return float32 of a network with weights of 16 bits; what follows it computes in float32."""
        return tensor.float() if self.dtype in SIXTEEN_BITS else tensor

    @property
    def dtype(self) -> torch.dtype:
        """The type of the network's weights."""
        first = next(self._network.parameters(), None)
        return torch.float32 if first is None else first.dtype

    def _apply(self, fn: Any, recurse: bool = True) -> Self:
        """Convert the network as it is asked to be; its classifier belongs to the head, and stays in float32."""
        module: Any = super()
        head: Any = self.classifier
        self.classifier = None
        try:
            module._apply(getattr(fn, "network", fn), recurse)
        finally:
            self.classifier = head
        if head is not None:
            head._apply(fn)
        return self

    def classify(self, embedding: Tensor) -> Tensor:
        """Compute the trained classifier's logits (B, K) for embeddings (B, E).

        Raises:
            RuntimeError: if there is no classifier.
        """
        if self.classifier is None:
            raise RuntimeError(f"encoder {self.name} has no classifier")
        logits: Tensor = self.classifier(embedding)
        return logits

    def answer(self, features: Any, embedding: Tensor) -> Tensor | None:
        """Compute the network's logits (B, K) from `features` and their `embed`; None without a classifier."""
        return None if self.classifier is None else self.classify(embedding)

    def forward(self, images: Tensor) -> Tensor:
        """Compute the logits (B, K) of the whole network for normalised images."""
        return self.classify(self.embed(self.features(images)))

    @property
    def num_classes(self) -> int | None:
        """K, the number of classes of the classifier, or None without one."""
        if self.classifier is None:
            return None
        return next(p.shape[0] for p in reversed(list(self.classifier.parameters())))

    @property
    def _network(self) -> nn.Module:
        """The module from which `keep_map_only` drops unused parts."""
        return self

    @property
    def is_trained(self) -> bool:
        """Whether its weights were loaded, or are those of the user's own network."""
        return UNTRAINED not in self.description

    def drop_head(self) -> None:
        """Drop the classifier, so that no unused parameters are left."""
        self.classifier = None

    def keep_map_only(self) -> None:
        """Drop everything that the map does not need, for methods that read only the map.

        Distributed training refuses parameters without a gradient, and VGG has 120 million of them after its map.
        """
        self.drop_head()
        self.stop_at_map = True
        drop_unused(self._network, used_parameters(self, self._dummy(), lambda x: self.map(self.features(x))))

    def map_size(self, image: ImageSpec) -> tuple[int, int]:
        """Return rows and columns of the map for images of this size."""
        device = next(self.parameters()).device
        with evaluating(self), torch.no_grad():
            latents = self.map(self.features(torch.zeros(1, image.channels, *image.size, device=device)))
        return latents.shape[2], latents.shape[3]

    def _dummy(self) -> Tensor:
        return torch.zeros(1, *self._input_shape, device=next(self.parameters()).device)

    def _measure(self, image: ImageSpec) -> None:
        """Set channels, embedding and grid by running the network on one image.

        Raises:
            UserError: if the network cannot read the image, or its map or embedding has a wrong shape.
        """
        self._input_shape = (image.channels, *image.size)
        try:
            with evaluating(self), torch.no_grad():
                features = self.features(self._dummy())
                latents, embedding = self.map(features), self.embed(features)
        except UserError:
            raise
        except Exception as error:  # of any network that reads something else
            raise cannot_read(self.name, image, error) from error
        if latents.ndim != 4 or embedding.ndim != 2:
            raise UserError(
                f"encoder {self.name} returns a map of shape {tuple(latents.shape)} and an embedding of shape "
                f"{tuple(embedding.shape)}; expected (B, D, h, w) and (B, E): choose another encoder or --cut"
            )
        self.channels, self.embedding = latents.shape[1], embedding.shape[1]
        self.grid = (latents.shape[2], latents.shape[3])


def cannot_read(
    name: str, image: ImageSpec, error: BaseException, network: nn.Module | None = None
) -> UserError:
    """Return the error for a network that fails on images; the size is only blamed if it may be the cause.

    Args:
        name: the network's name.
        image: the images.
        error: what it raised.
        network: if given, it is tried on images of other sizes and channels.
    """
    start = (
        f"encoder {name} cannot read {image.channels}-channel images of {image.height}x{image.width} pixels "
        f"({first_line(error)})"
    )
    if network is not None:
        fitting = _readable(network, image)
        if fitting is not None:
            channels, size = fitting
            options = [f"--channels {channels}"] if channels != image.channels else []
            options += [f"--image-size {size[0]}"] if size != image.size else []
            return UserError(
                f"{start}, but it reads {channels}-channel images of {size[0]}x{size[1]}: give {' '.join(options)}"
            )
        return UserError(f"{start}, nor those of other sizes: it must read one batch of images (B, C, H, W)")
    if isinstance(error, RuntimeError | ValueError | AssertionError | IndexError | ZeroDivisionError):
        return UserError(f"{start}; try another --image-size")
    return UserError(f"{start}; choose another encoder")


def _readable(network: nn.Module, image: ImageSpec) -> tuple[int, tuple[int, int]] | None:
    """Return channels and size of the first usual kind of images that a network reads."""
    for size in (image.size, (224, 224), (64, 64), (32, 32), (28, 28), (299, 299), (384, 384)):
        for channels in (image.channels, 4 - image.channels):
            if (channels, size) == (image.channels, image.size):
                continue
            parameter = next(network.parameters(), torch.zeros(()))
            try:
                with evaluating(network), torch.no_grad():
                    network(torch.zeros(2, channels, *size).to(parameter))
            except Exception:  # of any code of the user's
                continue
            return channels, size
    return None


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, shortened for use inside another message."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0][:160]
