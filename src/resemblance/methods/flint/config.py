"""Configuration of FLINT."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from resemblance.config.encoder import ENCODER, EncoderConfig
from resemblance.config.errors import UserError
from resemblance.config.method import MethodConfig
from resemblance.config.options import option
from resemblance.config.words import Words

OWN_ENCODERS = ("auto", "mnist", "resnet")


@dataclass(frozen=True)
class ScheduledWeight:
    """The weight of a loss term, and its schedule.

    Args:
        weight: the full weight.
        steps: pairs of an epoch, numbered from 1, and the share of the weight from that epoch on.

    Example:
        >>> sparsity = ScheduledWeight(0.3, ((2, 0.1), (3, 1.0)))
        >>> [round(sparsity.at((epoch - 1) / 12, 12), 2) for epoch in (1, 2, 3, 12)]
        [0.0, 0.03, 0.3, 0.3]
    """

    weight: float
    steps: tuple[tuple[int, float], ...] = ((1, 1.0),)

    def at(self, progress: float, epochs: int) -> float:
        """Return the weight when a share ``progress`` of training is done, with steps counted in ``epochs`` epochs."""
        shares = [share for epoch, share in self.steps if progress >= (epoch - 1) / epochs]
        return self.weight * shares[-1] if shares else 0.0


@dataclass(frozen=True)
class Setting:
    """The authors' hyperparameters for a data set.

    Args:
        attributes: J, or J divided by the number of classes if ``per_class``.
        prediction: weight of the predictor's cross-entropy.
        input_fidelity: γ, weight of the reconstruction.
        output_fidelity: β, weight of the agreement of interpreter and predictor.
        sparsity: δ·η, weight of the L1 norm of the attributes.
        conciseness: δ, weight of the entropy of each image's attributes.
        diversity: δ, weight of the entropy of the batch's mean attributes.
        threshold: class relevance above which an attribute belongs to a class.
        epochs: number of epochs.
        batch_size: images per batch.
        augment: augmentation of the training images.
        per_class: whether ``attributes`` is the number per class.
    """

    attributes: int
    input_fidelity: ScheduledWeight
    output_fidelity: ScheduledWeight
    sparsity: ScheduledWeight
    conciseness: ScheduledWeight
    diversity: ScheduledWeight
    threshold: float
    prediction: ScheduledWeight = ScheduledWeight(1.0)
    epochs: int = 12
    batch_size: int = 64
    augment: str = "none"
    per_class: bool = False


def _from_epoch(epoch: int, weight: float) -> ScheduledWeight:
    """Return a weight that is 0 before the epoch."""
    return ScheduledWeight(weight, ((epoch, 1.0),))


SETTINGS = {
    "mnist": Setting(
        25,
        _from_epoch(1, 0.8),
        _from_epoch(3, 0.5),
        _from_epoch(3, 0.1),
        _from_epoch(5, 0.2),
        _from_epoch(5, 0.2),
        0.1,
        batch_size=16,
    ),
    "quickdraw": Setting(
        24,
        _from_epoch(1, 5.0),
        _from_epoch(3, 0.1),
        ScheduledWeight(0.3, ((2, 0.02 / 0.3), (3, 1.0))),
        _from_epoch(4, 0.1),
        _from_epoch(4, 0.1),
        0.2,
    ),
    "cifar": Setting(
        36,
        _from_epoch(1, 2.0),
        _from_epoch(3, 0.6),
        ScheduledWeight(0.15, ((2, 0.001 / 0.15), (3, 1.0))),
        _from_epoch(4, 0.2),
        _from_epoch(4, 0.2),
        0.2,
        epochs=25,
        augment="crop",
    ),
    # Gautam et al. 2024, table 10, on a ResNet-34; it does not say when each term starts: as for MNIST.
    "kmex": Setting(
        5,
        _from_epoch(1, 0.8),
        _from_epoch(3, 1.0),
        _from_epoch(3, 0.1),
        _from_epoch(5, 0.2),
        _from_epoch(5, 0.2),
        0.1,
        prediction=ScheduledWeight(0.8),
        epochs=10,
        batch_size=128,
        per_class=True,
    ),
}
WEIGHTS = ("prediction", "input_fidelity", "output_fidelity", "sparsity", "conciseness", "diversity")


@dataclass
class FLINTConfig(EncoderConfig, MethodConfig):
    """A classifier and its interpreter, trained together."""

    name: ClassVar[str] = "flint"
    model: ClassVar[str] = "resemblance.methods.flint.model:FLINT"
    line: ClassVar[str] = (
        "a classifier and an interpreter on its hidden layers, trained together; explains by attributes"
    )
    citation: ClassVar[str] = (
        "Parekh, Mozharovskyi, d'Alché-Buc: A Framework to Learn with Interpretation. NeurIPS 2021"
    )
    words: ClassVar[Words] = Words(
        "attribute",
        similarity="activation",
        picture="strongest in this",
        source="strongest in",
        rivals=False,
        about="are numbers that the model computes from its hidden layers for each image: how strongly the image has a "
        "property, and zero if it does not have it. Their weighted sum decides what the model predicts. An "
        "attribute is shown by the training image in which it is strongest, and belongs to the classes to which "
        "it is relevant.",
        similarity_says="how strongly the image has the attribute",
    )
    variants: ClassVar[tuple[str, ...]] = ("paper", "released")

    encoder: str = option(
        "auto",
        "the predictor: mnist or resnet (those of the paper), auto (one of these two, by the images), or a "
        + ENCODER,
        title="model",
    )
    setting: str = option(
        "auto",
        "data set for which the paper gives weights, attributes and epochs, or kmex (those in the KMEx paper), "
        "or auto (by the images)",
        choices=("auto", *SETTINGS),
    )
    attributes: int | None = option(
        None, "J: number of attributes, which all classes share (default: as in --setting)", least=1
    )
    prediction: float | None = option(
        None, "weight of the predictor's cross-entropy (default: as in --setting)", least=0
    )
    input_fidelity: float | None = option(
        None, "gamma: weight of the reconstruction from attributes (default: as in --setting)", least=0
    )
    output_fidelity: float | None = option(
        None,
        "beta: weight of the interpreter's agreement with the predictor (default: as in --setting)",
        least=0,
    )
    sparsity: float | None = option(
        None, "delta eta: weight of the L1 norm of the attributes (default: as in --setting)", least=0
    )
    conciseness: float | None = option(
        None, "delta: weight of the entropy of each image's attributes (default: as in --setting)", least=0
    )
    diversity: float | None = option(
        None,
        "delta: weight of the entropy of the batch's mean attributes, negated (default: as in --setting)",
        least=0,
    )
    threshold: float | None = option(
        None,
        "class relevance above which an attribute belongs to a class, from 0 to 1 (default: as in --setting)",
        least=0,
        most=1,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.encoder in OWN_ENCODERS and self.weights == "pretrained":
            raise UserError(
                f"there are no pretrained weights for --encoder {self.encoder}; name a network that has some, "
                "such as --encoder resnet18"
            )
