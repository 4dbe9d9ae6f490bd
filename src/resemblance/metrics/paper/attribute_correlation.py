"""How far the correlations between attributes, among the prototypes, are from those of the training set."""

from __future__ import annotations

from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from resemblance.config.definition import Definition
from resemblance.metrics.measure import Measure
from resemblance.prototypes.precision import widest


class CorrelationDifference(NamedTuple):
    """The difference of two correlation matrices.

    Args:
        error: mean absolute difference, float64; NaN if fewer than two attributes vary.
        pairs: how many correlations were compared.
        undefined: how many of them are undefined among the prototypes, and count as 0.
        constant: attributes left out because they are constant in the training set.
        trivial: the error if all correlations among the prototypes counted as 0, float64: that of a single prototype.
    """

    error: Tensor
    pairs: Tensor
    undefined: Tensor
    constant: Tensor
    trivial: Tensor


def correlations(count: Tensor, sums: Tensor, products: Tensor) -> Tensor:
    """Compute Pearson's correlations from integer sums, so that a constant attribute is recognised exactly.

    Args:
        count: the number of rows, N.
        sums: (A,) Σ x.
        products: (A, A) Σ x xᵀ.

    Returns:
        (A, A) float64, NaN where an attribute is constant.

    Example:
        >>> rows = torch.tensor([[1, 1], [0, 0]])
        >>> correlations(torch.tensor(2), rows.sum(0), rows.T @ rows)
        tensor([[1., 1.],
                [1., 1.]], dtype=torch.float64)
    """
    covariances = (count * products - sums[:, None] * sums).double()
    deviations = covariances.diagonal().sqrt()
    return (covariances / deviations / deviations[:, None]).clamp(-1, 1)


def correlation_difference(
    training: Tensor, prototypes: Tensor, diagonal: bool = False
) -> CorrelationDifference:
    """Compare two correlation matrices (A, A) that are NaN where an attribute is constant.

    Args:
        training: of the training set; attributes that are constant there are left out.
        prototypes: of the prototypes' images; undefined correlations count as 0.
        diagonal: compare the whole matrices, not the pairs above the diagonal.

    Example:
        >>> correlation_difference(torch.eye(2), torch.ones(2, 2)).error.item()
        1.0
    """
    constant = training.diagonal().isnan()
    size = len(training)
    compared = torch.ones(size, size, dtype=torch.bool, device=training.device)
    compared = compared if diagonal else compared.triu(1)
    compared = compared & ~constant & ~constant[:, None]
    undefined = prototypes.isnan() & compared
    differences = (training - prototypes.nan_to_num(nan=0.0)).abs()
    error = differences[compared].double().mean()
    trivial = training.abs()[compared].double().mean()
    return CorrelationDifference(error, compared.sum(), undefined.sum(), constant.sum(), trivial)


class AttributeCorrelationError(Measure):
    """The mean absolute difference of attribute correlations, training set against prototypes; lower is better.

    Pearson's correlations over the training images, and over the training images nearest to the prototypes. Attributes
    that are constant in the training set are left out. A correlation that is undefined among the prototypes, because
    all of them have the attribute or none has it, counts as 0, so that the error of one prototype is that of knowing
    nothing: see ``trivial`` in `difference`.

    Args:
        attributes: the number of attributes, A.
        definition: ``"paper"`` compares the whole matrices, their diagonals among them, as the paper's words say, which
            makes errors smaller; the default compares each pair once.

    Attributes:
        counts: training images and prototypes. See `difference` for undefined correlations and constant attributes.

    Source: Gautam et al. 2024 (KMEx), figure 5c.

    Example:
        >>> error = AttributeCorrelationError(2)
        >>> error.update(training=torch.tensor([[1, 1], [1, 0], [0, 1], [0, 0]]))
        >>> error.update(prototypes=torch.tensor([[1, 1], [0, 0]]))
        >>> error.compute().item(), error.difference().undefined.item()
        (1.0, 0)
    """

    higher_is_better = False
    definitions: ClassVar[tuple[Definition, ...]] = ("default", "paper")
    counts: ClassVar[tuple[str, ...]] = ("images", "prototypes")

    images: Tensor
    sums: Tensor
    products: Tensor
    prototypes: Tensor
    prototype_sums: Tensor
    prototype_products: Tensor

    def __init__(self, attributes: int, definition: Definition = "default") -> None:
        super().__init__(definition)
        for rows, name in (("images", ""), ("prototypes", "prototype_")):
            self.add_sum(rows)
            self.add_sum(f"{name}sums", attributes)
            self.add_sum(f"{name}products", attributes, attributes)

    def update(self, prototypes: Tensor | None = None, training: Tensor | None = None) -> None:
        """Add prototypes, training images or both.

        Args:
            prototypes: (K, A), 0 or 1, the attributes of the training image nearest to each prototype.
            training: (N, A), 0 or 1, the attributes of training images.
        """
        if training is not None:
            sums, products = _sums(training)
            self.accumulate(images=len(training), sums=sums, products=products)
        if prototypes is not None:
            sums, products = _sums(prototypes)
            self.accumulate(prototypes=len(prototypes), prototype_sums=sums, prototype_products=products)

    def compute(self) -> Tensor:
        """Return the error, float64; NaN if fewer than two attributes vary in the training set."""
        return self.difference().error

    def difference(self) -> CorrelationDifference:
        """Return the error with the numbers of undefined correlations and of constant attributes."""
        with self.synchronized():
            training = correlations(self.images, self.sums, self.products)
            prototypes = correlations(self.prototypes, self.prototype_sums, self.prototype_products)
            return correlation_difference(training, prototypes, diagonal=self.definition == "paper")


def _sums(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Return Σ x (A,) and Σ x xᵀ (A, A) of binary rows, int64; exact in float64, which a GPU multiplies."""
    wide = rows.bool().to(widest(rows.device))
    return wide.sum(dim=0).long(), (wide.T @ wide).long()
