"""How often a model gives the same answer as its black box."""

from __future__ import annotations

from torch import Tensor

from resemblance.metrics.measure import MeanMeasure


class Agreement(MeanMeasure):
    """The share of images for which the model and the black box predict the same class; higher is better.

    Two classifiers of the same accuracy can be wrong about different images; a gap of 0 does not show this. An image
    for which the model abstains is one about which they differ. It does not depend on the true classes.

    Attributes:
        counts: measured images.

    Source: Parekh et al. 2021 (FLINT), where it is the fidelity of the interpreter to the predictor.

    Example:
        >>> import torch
        >>> agreement = Agreement()
        >>> agreement.update(torch.tensor([0, 1, -1, 2]), torch.tensor([0, 2, 1, 2]))
        >>> agreement.compute().item(), agreement.counted()
        (0.5, {'measured': 4})
    """

    higher_is_better = True

    def update(self, predicted: Tensor, black_box: Tensor) -> None:
        """Compare a batch.

        Args:
            predicted: (B,) int64, classes predicted by the model; −1 where it abstains.
            black_box: (B,) classes predicted by the black box.
        """
        self.add_values(predicted == black_box.to(predicted.device))
