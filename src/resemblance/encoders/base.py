"""What an encoder is: a latent map, an embedding, and the trained head, over one pass through the network."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor, nn

from resemblance.config.errors import UserError
from resemblance.config.image import ImageSpec
from resemblance.encoders.probe import evaluating, used_parameters
from resemblance.encoders.surgery import drop_unused


class Encoder(nn.Module, ABC):
    """A network cut in three: features, what is read off them (map or embedding), and the classifier.

    `features` is the one expensive call; its result has the encoder's own form and is meant for `map`
    and `embed` only.

    Attributes:
        name: as the user wrote it.
        description: where the weights came from, for people.
        channels: D, the channels of the map.
        embedding: E, the numbers that the classifier reads.
        grid: rows and columns of the map for the image size that the encoder was built for.
        classifier: the last layer, or None once dropped.
        trained_head: whether the classifier's weights came with the others, not fresh from the initialiser.
        stop_at_map: whether everything behind the map was dropped (`keep_map_only`).
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
        self.stop_at_map = False
        self._input_shape = (0, 0, 0)

    @abstractmethod
    def features(self, images: Tensor) -> Any:
        """Run the network on normalised images (B, C, H, W)."""

    @abstractmethod
    def map(self, features: Any) -> Tensor:
        """The latent map (B, D, h, w) of `features`."""

    @abstractmethod
    def _embed(self, features: Any) -> Tensor: ...

    def embed(self, features: Any) -> Tensor:
        """What the trained classifier reads, (B, E); the map's mean once `keep_map_only` was called."""
        return self.map(features).mean((2, 3)) if self.stop_at_map else self._embed(features)

    def classify(self, embedding: Tensor) -> Tensor:
        """The trained classifier's logits (B, K) for embeddings (B, E).

        Raises:
            RuntimeError: if no classifier was kept.
        """
        if self.classifier is None:
            raise RuntimeError(f"encoder {self.name} keeps no classifier")
        logits: Tensor = self.classifier(embedding)
        return logits

    def answer(self, features: Any, embedding: Tensor) -> Tensor | None:
        """The network's logits (B, K) from one pass' `features` and their `embed`; None without classifier."""
        return None if self.classifier is None else self.classify(embedding)

    def forward(self, images: Tensor) -> Tensor:
        """The network as it was before the cut: logits (B, K) of normalised images."""
        return self.classify(self.embed(self.features(images)))

    @property
    def num_classes(self) -> int | None:
        """K, the classes of the classifier, or None without one."""
        if self.classifier is None:
            return None
        return next(p.shape[0] for p in reversed(list(self.classifier.parameters())))

    @property
    def _network(self) -> nn.Module:
        """The module that `keep_map_only` may thin out."""
        return self

    def drop_head(self) -> None:
        """Forget the classifier, so that no parameter is left without a use."""
        self.classifier = None

    def keep_map_only(self) -> None:
        """Drop whatever the map does not need, for methods that read nothing else.

        Distributed training refuses parameters without a gradient, and VGG alone carries 120 million
        of them behind its map.
        """
        self.drop_head()
        self.stop_at_map = True
        drop_unused(self._network, used_parameters(self, self._dummy(), lambda x: self.map(self.features(x))))

    def map_size(self, image: ImageSpec) -> tuple[int, int]:
        """Rows and columns of the map for images of this size."""
        device = next(self.parameters()).device
        with evaluating(self), torch.no_grad():
            latents = self.map(self.features(torch.zeros(1, image.channels, *image.size, device=device)))
        return latents.shape[2], latents.shape[3]

    def _dummy(self) -> Tensor:
        return torch.zeros(1, *self._input_shape, device=next(self.parameters()).device)

    def _measure(self, image: ImageSpec) -> None:
        """Find channels, embedding and grid by trying one image.

        Raises:
            UserError: if the network cannot read it, or has no map or embedding in it.
        """
        self._input_shape = (image.channels, *image.size)
        try:
            with evaluating(self), torch.no_grad():
                features = self.features(self._dummy())
                latents, embedding = self.map(features), self.embed(features)
        except (RuntimeError, ValueError, AssertionError, TypeError, IndexError) as error:
            raise UserError(
                f"encoder {self.name} cannot read {image.channels}-channel images of "
                f"{image.height}x{image.width} pixels ({first_line(error)}); try another --image-size"
            ) from error
        if latents.ndim != 4 or embedding.ndim != 2:
            raise UserError(
                f"encoder {self.name} gives a map of shape {tuple(latents.shape)} and an embedding of shape "
                f"{tuple(embedding.shape)}; expected (B, D, h, w) and (B, E): choose another encoder or --cut"
            )
        self.channels, self.embedding = latents.shape[1], embedding.shape[1]
        self.grid = (latents.shape[2], latents.shape[3])


def first_line(error: BaseException) -> str:
    """The first line of an error's message, short enough to stand inside another."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0][:160]
