"""Configuration of SENN."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from resemblance.config.method import MethodConfig
from resemblance.config.options import option
from resemblance.config.words import Words


@dataclass
class SENNConfig(MethodConfig):
    """Concepts, and their relevance to each class in each image."""

    name: ClassVar[str] = "senn"
    model: ClassVar[str] = "resemblance.methods.senn.model:SENN"
    line: ClassVar[str] = (
        "concepts whose relevance to a class is computed for each image; shown by their top images"
    )
    citation: ClassVar[str] = (
        "Alvarez-Melis, Jaakkola: Towards Robust Interpretability with Self-Explaining Neural Networks. "
        "NeurIPS 2018"
    )
    words: ClassVar[Words] = Words(
        "concept",
        similarity="value",
        weight="relevance",
        picture="largest in this",
        source="largest in",
        owned=False,
        rivals=False,
        about="are numbers, above or below zero, that the model computes for each image, together with the relevance "
        "of each of them to each class in this image. The sum of the products of value and relevance decides what the "
        "model predicts. A concept is shown by the training image in which its value is the largest; "
        "an image with a value below zero may look different.",
        similarity_says="the value of the concept in the image",
        weight_says="how much that value counts for the class in this image",
    )
    variants: ClassVar[tuple[str, ...]] = ("paper", "released")

    concepts: int = option(20, "number of concepts, shared by all classes", least=1)
    parametrizer: str = option(
        "cnn",
        "network that computes the relevances: cnn (like that of the concepts), or vgg8, vgg11 or vgg16 (for images of "
        "32 pixels or more)",
        choices=("cnn", "vgg8", "vgg11", "vgg16"),
    )
    positive: bool = option(False, "keep relevances in (0, 1), by a sigmoid, instead of (-1, 1)")
    dropout: float = option(0.5, "share of the relevances that is dropped in training", least=0, below=1)
    robustness: float = option(0.01, "lambda: weight of the gradient penalty", least=0.0)
    reconstruction: float = option(1.0, "weight of the reconstruction error", least=0.0)
    sparsity: float = option(1e-4, "weight of the absolute values of the concepts", least=0.0)
    directions: int | None = option(
        None,
        "random directions that estimate the gradient penalty; 0 computes it exactly, over all classes "
        "(default: 0 for up to 20 classes, else 10)",
        least=0,
    )
