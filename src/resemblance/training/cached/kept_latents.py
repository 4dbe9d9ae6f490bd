"""One pass of the encoder over a set of images, for all who read its latents."""

from __future__ import annotations

from collections.abc import Iterable

from resemblance.core.classifier import Classifier
from resemblance.data.batch import Batch, EncodedBatch
from resemblance.data.dataset import ImageDataset
from resemblance.data.loader import loader
from resemblance.data.sources.source import Source
from resemblance.training.cached.encoded_images import EncodedImages
from resemblance.training.cached.frozen_encoder import FrozenEncoder, Latents, weights_of


class KeptLatents:
    """The latents of a model's encoder as it is when they are asked for, of any images, computed once.

    Args:
        model: any model; of one that does not separate its encoder, nothing is kept.
        latents: where they are kept; None to keep nothing.
        workers: processes that read images.
        progress: whether to show progress.
    """

    def __init__(
        self, model: Classifier, latents: Latents | None, workers: int = 0, progress: bool = False
    ) -> None:
        self.model, self.latents, self.workers, self.progress = model, latents, workers, progress
        self._encoder: tuple[tuple[str, str], FrozenEncoder] | None = None

    def of(self, source: Source, compute: bool = True) -> EncodedImages | None:
        """Return the latents of all images; None if they cannot be kept.

        Args:
            source: the images.
            compute: whether to compute them if they are not there yet; otherwise None is returned.
        """
        latents = self.latents
        if latents is None or not self.model.encodes or not latents.budget or not len(source):
            return None
        state = weights_of(self.model), str(self.model.device)
        if self._encoder is None or self._encoder[0] != state:
            self._encoder = (
                state,
                FrozenEncoder(self.model, latents, workers=self.workers, progress=self.progress),
            )
        encoder = self._encoder[1]
        if len(source) * encoder.bytes_per_image > latents.budget:
            return None
        return encoder.encode(source) if compute or encoder.has(source) else None

    def batches(self, source: Source, size: int) -> Iterable[Batch | EncodedBatch]:
        """Return the images in order, or what is kept of them: for passes that read latents alone."""
        if (encoded := self.of(source)) is not None:
            return encoded.batches(size)
        return loader(ImageDataset(source, self.model.spec.image), size, self.workers)
