"""The reconstruction error of models that decode."""

from __future__ import annotations

from torch import Tensor

from resemblance.metrics.measure import MeanMeasure
from resemblance.prototypes.precision import widest


class ReconstructionError(MeanMeasure):
    """The mean over images of the squared error summed over pixels and channels; lower is better.

    Source: Li et al. 2018 (PrototypeDL), eq. 4.

    Example:
        >>> import torch
        >>> error = ReconstructionError()
        >>> error.update(torch.full((2, 1, 3, 3), 0.5), torch.zeros(2, 1, 3, 3))
        >>> error.compute().item()
        2.25
    """

    higher_is_better = False

    def update(self, reconstructions: Tensor, images: Tensor) -> None:
        """Add a batch.

        Args:
            reconstructions: (B, C, H, W).
            images: (B, C, H, W), in the same range.
        """
        errors = reconstructions.to(widest(images.device)) - images
        self.add_values(errors.square().flatten(1).sum(dim=1))
