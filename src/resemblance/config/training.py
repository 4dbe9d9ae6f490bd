"""Options of training that all methods share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from resemblance.config.errors import UserError
from resemblance.config.options import option
from resemblance.config.values import check_fields

JPEG_QUALITY = 20
CLASS_WEIGHTS = ("none", "balanced")
ADVERSARIAL = ("none", "fgsm")
PRECISIONS = ("32-true", "bf16-mixed", "16-mixed")
ACCELERATORS = ("auto", "cpu", "gpu", "mps")
DEVICES = "number of GPUs, or of processes on the CPU, that divide the work"
SEED = "seed of all random choices"
PROGRESS, NO_PROGRESS = "show progress and estimated times", "do not show progress and estimated times"


@dataclass
class TrainConfig:
    """Options of training; where a value is None, the method's recipe decides.

    Example:
        >>> TrainConfig(epochs=3).precision
        '32-true'
    """

    group: ClassVar[str] = "training"

    seed: int = option(0, SEED, least=0)
    epochs: int | None = option(
        None,
        "epochs in total; the stages of the method's recipe are scaled to fit (default: the recipe's)",
        least=1,
    )
    batch_size: int | None = option(
        None, "images per optimiser step, over all devices and micro-batches (default: the recipe's)", least=1
    )
    augment: str | None = option(
        None,
        "augmentation of the training images: none, flip, crop, flip+crop, elastic, protopnet, tesnet, prototree, "
        "prototree-cars or pipnet (default: the recipe's)",
    )
    class_weights: str = option(
        "none",
        "balanced: images of rare classes count more in the loss, so that all classes count alike",
        choices=CLASS_WEIGHTS,
    )
    balanced_sampling: bool = option(
        False,
        "draw images of all classes equally often; those of rare ones are drawn several times per epoch",
    )
    adversarial: str = option(
        "none",
        "fgsm: train on images that are attacked at each step (fast adversarial training)",
        choices=ADVERSARIAL,
    )
    adversarial_eps: float = option(
        8.0, "largest change of a pixel by --adversarial, in grey levels of 255", above=0, most=255
    )
    adversarial_step: float = option(
        10.0, "step of the attack of --adversarial, in grey levels of 255", above=0, most=255
    )
    jpeg_augment: float = option(
        0.0,
        "probability with which a training image is compressed as JPEG before it is resized and augmented",
        least=0,
        most=1,
        metavar="P",
    )
    jpeg_classes: tuple[str, ...] | None = option(
        None,
        "train, project and validate with the images of some classes compressed as JPEG, as a stress test: half (drawn "
        "by --seed), odd (every second class), or names of classes separated by commas",
        metavar="CLASSES",
    )
    jpeg_quality: int = option(
        JPEG_QUALITY, "quality of --jpeg-augment and --jpeg-classes, 1 to 95", least=1, most=95
    )
    precision: str = option("32-true", "floating-point precision", choices=PRECISIONS)
    devices: int = option(1, DEVICES, least=1)
    accelerator: str = option("auto", "hardware to train on", choices=ACCELERATORS)
    latent_cache: float = option(
        4.0,
        "gigabytes for latents, which are computed once while the encoder does not change: those of frozen encoders "
        "are kept on the disk for later runs, those of trained ones until the run ends; 0: compute them whenever they "
        "are needed",
        least=0,
        metavar="GB",
    )
    stored_views: int | None = option(
        None,
        "augmented views of each image whose latents are kept, for training behind a frozen encoder "
        "(default: with augmentation, none is kept)",
        least=1,
    )
    accumulate: int = option(
        1, "micro-batches per optimiser step; more micro-batches need less memory", least=1
    )
    workers: int = option(0, "processes that read images", least=0)
    patience: int | None = option(
        None,
        "end a stage after this many epochs without a better validation result, and keep the best weights",
        least=1,
    )
    refit_on_all: bool = option(
        False, "after model selection, train again on the training and validation images together"
    )
    resume: bool = option(False, "continue the run in the output folder")
    checkpoint_every_steps: int | None = option(
        None, "optimiser steps between checkpoints (default: a checkpoint every half minute)", least=1
    )
    progress: bool = option(True, PROGRESS, off=NO_PROGRESS)

    def __post_init__(self) -> None:
        check_fields(self)
        if self.balanced_sampling and self.class_weights != "none":
            raise UserError(
                "--class-weights and --balanced-sampling together would count rare classes twice; leave out one of them"
            )
        if self.stored_views is not None and self.remedy:
            raise UserError(
                f"--stored-views keeps what the encoder computes for the same views, but {self.remedy} changes the "
                "images in every epoch; leave out one of them"
            )

    @property
    def balanced(self) -> bool:
        """Whether all classes count alike, whatever their numbers of images.

        Example:
            >>> TrainConfig(class_weights="balanced").balanced, TrainConfig().balanced
            (True, False)
        """
        return self.balanced_sampling or self.class_weights == "balanced"

    @property
    def remedy(self) -> str:
        """The option that changes the training images in every epoch, other than augmentation; empty if none does.

        Example:
            >>> TrainConfig(jpeg_augment=0.5).remedy, TrainConfig(adversarial="fgsm").remedy, TrainConfig().remedy
            ('--jpeg-augment', '--adversarial', '')
        """
        if self.adversarial != "none":
            return "--adversarial"
        return "--jpeg-augment" if self.jpeg_augment else ""
