"""Configuration of FLINT."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from resemblance.config.encoder import EncoderConfig
from resemblance.config.errors import UserError
from resemblance.config.method import MethodConfig
from resemblance.config.options import option
from resemblance.config.words import Words

OWN_ENCODERS = ("auto", "mnist", "resnet")


@dataclass(frozen=True)
class Term:
    """A loss term's weight and when it is on.

    Args:
        weight: once it is fully on.
        steps: (epoch, share of the weight from then on), epochs numbered from 1.

    Example:
        >>> sparsity = Term(0.3, ((2, 0.1), (3, 1.0)))
        >>> [round(sparsity.at((epoch - 1) / 12, 12), 2) for epoch in (1, 2, 3, 12)]
        [0.0, 0.03, 0.3, 0.3]
    """

    weight: float
    steps: tuple[tuple[int, float], ...] = ((1, 1.0),)

    def at(self, progress: float, epochs: int) -> float:
        """The weight when a share ``progress`` of the ``epochs`` that the steps are counted in is over."""
        shares = [share for epoch, share in self.steps if progress >= (epoch - 1) / epochs]
        return self.weight * shares[-1] if shares else 0.0


@dataclass(frozen=True)
class Setting:
    """What the authors chose for a data set.

    Args:
        attributes: J; a multiple of the classes if ``per_class``.
        prediction: weight of the predictor's cross entropy.
        input_fidelity: γ.
        output_fidelity: β.
        sparsity: δ·η.
        conciseness: δ of the entropy of each image's attributes.
        diversity: δ of the entropy of the batch's mean attributes.
        threshold: of class relevance, above which an attribute belongs to a class.
        epochs: in all.
        batch_size: images a step.
        augment: of the training images.
        per_class: see ``attributes``.
    """

    attributes: int
    input_fidelity: Term
    output_fidelity: Term
    sparsity: Term
    conciseness: Term
    diversity: Term
    threshold: float
    prediction: Term = Term(1.0)
    epochs: int = 12
    batch_size: int = 64
    augment: str = "none"
    per_class: bool = False


def _from(epoch: int, weight: float) -> Term:
    return Term(weight, ((epoch, 1.0),))


SETTINGS = {
    "mnist": Setting(
        25, _from(1, 0.8), _from(3, 0.5), _from(3, 0.1), _from(5, 0.2), _from(5, 0.2), 0.1, batch_size=16
    ),
    "quickdraw": Setting(
        24,
        _from(1, 5.0),
        _from(3, 0.1),
        Term(0.3, ((2, 0.02 / 0.3), (3, 1.0))),
        _from(4, 0.1),
        _from(4, 0.1),
        0.2,
    ),
    "cifar": Setting(
        36,
        _from(1, 2.0),
        _from(3, 0.6),
        Term(0.15, ((2, 0.001 / 0.15), (3, 1.0))),
        _from(4, 0.2),
        _from(4, 0.2),
        0.2,
        epochs=25,
        augment="crop",
    ),
    # Gautam et al. 2024, table 10, on a ResNet-34; when each term starts is not given: as for MNIST.
    "kmex": Setting(
        5,
        _from(1, 0.8),
        _from(3, 1.0),
        _from(3, 0.1),
        _from(5, 0.2),
        _from(5, 0.2),
        0.1,
        prediction=Term(0.8),
        epochs=10,
        batch_size=128,
        per_class=True,
    ),
}
WEIGHTS = ("prediction", "input_fidelity", "output_fidelity", "sparsity", "conciseness", "diversity")


@dataclass
class FLINTConfig(EncoderConfig, MethodConfig):
    """A classifier and its interpreter, learned together."""

    name: ClassVar[str] = "flint"
    model: ClassVar[str] = "resemblance.methods.flint.model:FLINT"
    line: ClassVar[str] = "a classifier and an interpreter on its hidden layers, learned together; attributes"
    citation: ClassVar[str] = (
        "Parekh, Mozharovskyi, d'Alché-Buc: A Framework to Learn with Interpretation. NeurIPS 2021"
    )
    words: ClassVar[Words] = Words(
        "attribute",
        similarity="activation",
        picture="strongest in this",
        source="strongest in",
        rivals=False,
        about="are numbers that the model reads off its inner layers for each image: how strongly the image has this "
        "or that, and zero where it has nothing of it. Their weighted sum decides what the model says. An "
        "attribute is shown by the training image in which it is strongest, and belongs to the classes to which "
        "it is relevant.",
        similarity_says="how strongly the image has the attribute",
    )
    variants: ClassVar[tuple[str, ...]] = ("paper", "released")

    encoder: str = option(
        "auto",
        "the predictor: mnist or resnet (the paper's), auto (the one for the images), or a timm name, "
        "torchvision/NAME, small, package.module:function",
    )
    setting: str = option(
        "auto",
        "data set whose weights, attributes and epochs are taken; kmex: those of the KMEx paper",
        choices=("auto", *SETTINGS),
    )
    attributes: int | None = option(
        None, "J, attributes shared by all classes (default: the setting's)", least=1
    )
    prediction: float | None = option(None, "weight of the predictor's cross entropy", least=0)
    input_fidelity: float | None = option(
        None, "gamma: weight of the reconstruction from attributes", least=0
    )
    output_fidelity: float | None = option(
        None, "beta: weight of the interpreter's agreement with the predictor", least=0
    )
    sparsity: float | None = option(None, "delta eta: weight of the attributes' L1 norm", least=0)
    conciseness: float | None = option(None, "delta: weight of the entropy of an image's attributes", least=0)
    diversity: float | None = option(
        None, "delta: weight of the entropy of the batch's mean attributes, negated", least=0
    )
    threshold: float | None = option(None, "class relevance above which an attribute belongs to a class")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.encoder in OWN_ENCODERS and self.weights == "pretrained":
            raise UserError(
                f"there are no pretrained weights of --encoder {self.encoder}; name a network that has some, "
                "such as --encoder resnet18"
            )
