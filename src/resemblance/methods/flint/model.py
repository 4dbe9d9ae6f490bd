"""FLINT: a framework to learn with interpretation (Parekh, Mozharovskyi and d'Alché-Buc, NeurIPS 2021).

A predictor f and its interpreter g are learned together. Attribute functions Φ read hidden layers of f, a linear
layer h computes class scores from them, and a decoder d reconstructs the image:

    Φ(x) = (φ_1(x), …, φ_J(x)) ≥ 0        g(x) = softmax(h(Φ(x))),  h(Φ) = W Φ + b

    L = L_pred(f) + β L_of + γ L_if + δ L_cd

    L_of   output fidelity: g predicts what f predicts
    L_if   input fidelity: d(Φ(x)) reconstructs x
    L_cd   conciseness and diversity: Σ_x E(Φ(x)) − E(mean over x of Φ(x)) + η Σ_x ‖Φ(x)‖₁

with E(v) the entropy of softmax(v). The scores here are those of g ("FLINT-g"): an attribute contributes φ_j w_jc to
the score of class c. The logits of the predictor ("FLINT-f") are in ``extras``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor, nn

from resemblance.config.errors import UserError
from resemblance.config.model import ModelSpec
from resemblance.core.distributed import gather
from resemblance.core.output import Evidence, Output
from resemblance.core.recipe import Group, Recipe, Stage
from resemblance.core.training_step import TrainingStep
from resemblance.encoders.build import build_encoder
from resemblance.methods.base import PrototypeMethod
from resemblance.methods.flint.chosen_setting import choose_setting
from resemblance.methods.flint.config import OWN_ENCODERS, FLINTConfig
from resemblance.methods.flint.networks import (
    Attributes,
    EncoderPredictor,
    Magnitude,
    MnistPredictor,
    Predictor,
    ResNetPredictor,
    build_decoder,
)
from resemblance.prototypes.geometry import InnerProduct
from resemblance.prototypes.pairwise import pairwise_similarities
from resemblance.prototypes.precision import full_precision, widened
from resemblance.prototypes.scalars import ScalarPrototypes

FRESH_AFTER = 18  # epochs, after which training continues with a new optimiser and a smaller rate
DROPOUT = 0.01  # share of the attributes that is dropped before h


def entropy(attributes: Tensor) -> Tensor:
    """Compute E: the entropy (B,) of softmax(|φ|), in nats; only the released code's Φ has negative values."""
    logs = attributes.abs().log_softmax(dim=1)
    return -(logs.exp() * logs).sum(dim=1)


def conciseness(attributes: Tensor) -> Tensor:
    """Compute the mean over the batch of E(Φ(x)), small if each image has few attributes."""
    return entropy(attributes).mean()


def diversity(attributes: Tensor) -> Tensor:
    """Compute −E of the mean over the batch, small if all attributes are used."""
    return -entropy(attributes.abs().mean(dim=0, keepdim=True)).sum()


def agreement(scores: Tensor, target: Tensor) -> Tensor:
    """Compute −Σ_c softmax(target)_c · log softmax(scores)_c of logits (B, C), mean over the batch."""
    return -(target.softmax(dim=1) * scores.log_softmax(dim=1)).sum(dim=1).mean()


class FLINT(PrototypeMethod):
    """A predictor, and attributes of its hidden layers whose weighted sum gives the scores instead.

    Args:
        config: the configuration.
        spec: classes and images.
        encoder: the predictor f.
        saved: not used: the model's shape does not depend on training.

    Attributes:
        relevance: (C, J), mean relevance of each attribute for the images predicted as a class; 0 if there is none.

    Example:
        >>> from resemblance.config.image import ImageSpec
        >>> from resemblance.methods.registry import build
        >>> spec = ModelSpec(("zero", "one"), ImageSpec(28, 28, 1, (0.0,), (1.0,)))
        >>> model = build("flint", {}, spec).eval()
        >>> output = model(torch.rand(3, 1, 28, 28))
        >>> output.similarities.shape, output.extras["predictor"].shape
        (torch.Size([3, 25]), torch.Size([3, 2]))
    """

    end_actions = {"relevance": "resemblance.methods.flint.relevance"}  # noqa: RUF012

    relevance: Tensor

    def __init__(
        self,
        config: FLINTConfig,
        spec: ModelSpec,
        encoder: Predictor,
        saved: Mapping[str, Tensor] | None = None,
    ) -> None:
        super().__init__(config, spec)
        self.config: FLINTConfig = config
        name, setting = choose_setting(config, spec)
        self.setting = setting
        count, classes = setting.attributes, spec.num_classes
        released = config.variant == "released"
        self.predictor = encoder
        hidden: nn.Module = nn.LeakyReLU() if name == "mnist" else nn.ReLU()
        # Φ ≥ 0 in the paper; in the released code for MNIST, Φ can be slightly negative, and L_cd uses |Φ|.
        last: nn.Module = nn.ReLU()
        if name == "mnist":
            last = nn.LeakyReLU() if released else Magnitude()
        self.attributes = Attributes(encoder.taps, count, hidden, last)
        self.decoder = build_decoder(name, count, spec.image)
        self.interpreter = nn.Linear(count, classes)
        self.dropout = nn.Dropout(DROPOUT)
        self.prototypes: ScalarPrototypes = ScalarPrototypes(torch.zeros(count, classes), absent_at_zero=True)
        self.register_buffer("relevance", torch.zeros(classes, count))
        # MNIST and QuickDraw are read as they are, CIFAR standardised.
        self.standardised = not (name == "mnist" or (name == "resnet" and spec.image.channels == 1))
        self.absolute_error = released and name == "resnet" and spec.image.channels == 3
        self.step: TrainingStep | None = None

    @classmethod
    def make_encoder(
        cls,
        config: FLINTConfig,
        spec: ModelSpec,
        module: nn.Module | None,
        tensors: Mapping[str, Tensor] | None,
        load_weights: bool,
    ) -> Predictor:
        """Make the predictor: one of the paper's, or any encoder with a classifier."""
        name, _ = choose_setting(config, spec)
        if module is None and name in OWN_ENCODERS:
            if config.weights != "none" or config.cut is not None:
                raise UserError(f"--encoder {name} cannot be used with --weights or --cut")
            predictor = MnistPredictor if name == "mnist" else ResNetPredictor
            return predictor(spec.image, spec.num_classes)
        named = replace(config, encoder=name)
        encoder = build_encoder(named, spec.image, None, load_weights=load_weights, module=module)
        return EncoderPredictor(encoder, spec.num_classes)

    @property
    def encoder(self) -> nn.Module:
        """The encoder inside the predictor, or the predictor itself if it is one of the paper's."""
        return self.predictor.encoder if isinstance(self.predictor, EncoderPredictor) else self.predictor

    # image → hidden layers of f → attributes → scores

    def inputs(self, images: Tensor) -> Tensor:
        """Return what f reads and d reconstructs: images (B, C, H, W) in [0, 1], or standardised."""
        return self.normalize(images) if self.standardised else images

    def phi(self, inputs: Tensor) -> Tensor:
        """Compute Φ(x), (B, J), from what f reads."""
        attributes: Tensor = self.attributes(self.predictor(inputs)[1])
        return attributes

    def latents(self, images: Tensor) -> Tensor:
        """Return Φ(x) and the logits of f(x), concatenated, (B, J + C)."""
        logits, taps = self.predictor(self.inputs(images))
        return torch.cat([self.attributes(taps), logits], dim=1)

    def head(self, latents: Tensor) -> Output:
        """Compute the scores of g, h(Φ(x)) = W Φ(x) + b, before the softmax."""
        with full_precision(latents):
            latents = widened(latents)
            attributes, logits = self.prototypes(latents).similarities, latents[:, self.setting.attributes :]
            used = self.dropout(attributes)
            return Output(self.interpreter(used), attributes, latents, {"predictor": logits, "used": used})

    def forward(self, images: Tensor) -> Output:
        """Classify images (B, C, H, W) in [0, 1], and keep them: the loss compares reconstructions with them."""
        output = super().forward(images)
        output.extras["images"] = images
        return output

    def embed(self, latents: Tensor) -> Tensor:
        """Return Φ(x), (B, J)."""
        return latents[:, : self.setting.attributes]

    def evidence(self, output: Output, classes: Tensor) -> Evidence:
        """Return the contributions φ_j w_jc, and the bias b_c."""
        weights = widened(self.interpreter.weight)[classes]
        prototypes = torch.arange(self.setting.attributes, device=classes.device)
        bias = widened(self.interpreter.bias)[classes]
        return Evidence(weights * output.extras["used"], bias, prototypes, weights)

    def as_images(self, inputs: Tensor) -> Tensor:
        """Convert what f reads back to images (B, C, H, W) in [0, 1]."""
        if self.standardised:
            inputs = inputs * self.normalize.std + self.normalize.mean
        return inputs.clamp(0, 1)

    def reconstruct(self, images: Tensor) -> Tensor:
        """Return d(Φ(x)) as images (B, C, H, W) in [0, 1]."""
        return self.as_images(self.decoder(self.embed(self.latents(images))).float())

    def prototype_similarities(self) -> Tensor:
        """Return the dot products of the attributes' weights, as Gautam et al. 2024 compare them."""
        return pairwise_similarities(self.attributes.linear.weight, InnerProduct(), torch.neg)

    def assign_owners(self) -> None:
        """Let each attribute belong to the classes for which its relevance is above the threshold."""
        self.prototypes.owners.copy_((self.relevance > self.setting.threshold).T)

    def extra_metrics(self, output: Output, labels: Tensor) -> dict[str, Tensor]:
        """Return whether f is correct (FLINT-f), and whether g predicts the same class as f (fidelity)."""
        predicted = output.extras["predictor"].argmax(dim=1)
        return {
            "accuracy of the predictor": predicted == labels,
            "fidelity": predicted == output.scores.argmax(dim=1),
        }

    # training

    def before_step(self, step: TrainingStep) -> None:
        """Note the training step, on which the weights of the terms depend."""
        self.step = step

    def weight(self, term: str) -> float:
        """Return a term's weight at this step; the full weight in evaluation and after the first stage."""
        step, scheduled = self.step, getattr(self.setting, term)
        if not self.training or step is None or step.before > 0:
            return float(scheduled.weight)
        # Epochs are converted to shares of the first stage, so that a shorter training has all terms too.
        return float(scheduled.at(step.progress, min(self.setting.epochs, FRESH_AFTER)))

    def loss(self, output: Output, labels: Tensor) -> dict[str, Tensor]:
        """Compute L_pred, L_if, L_of and the three parts of L_cd, each times its weight at this step."""
        attributes, logits = output.similarities, output.extras["predictor"]
        error = self.decoder(attributes).float() - self.inputs(output.extras["images"]).float()
        # The interpreter follows the predictor, not the reverse. The paper prints the other direction,
        # −h(Φ)ᵀ log f: then h predicts one class for all images, where its gradient vanishes.
        output_fidelity = agreement(output.scores, logits.detach())
        # Means over pixels and attributes, which the weights of the paper and of the code are made for.
        input_fidelity = error.abs().mean() if self.absolute_error else error.square().mean()
        sparsity = attributes.abs().mean()
        return {
            "prediction": self.weight("prediction") * self.cross_entropy(logits, labels),
            "input_fidelity": self.weight("input_fidelity") * input_fidelity,
            "output_fidelity": self.weight("output_fidelity") * output_fidelity,
            "sparsity": self.weight("sparsity") * sparsity,
            "conciseness": self.weight("conciseness") * conciseness(attributes),
            "diversity": self.weight("diversity") * diversity(gather(attributes)),
        }

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        """Return the parameters of f, Φ, d and h."""
        return {
            "predictor": list(self.predictor.parameters()),
            "attributes": list(self.attributes.parameters()),
            "decoder": list(self.decoder.parameters()),
            "interpreter": list(self.interpreter.parameters()),
        }

    def recipe(self) -> Recipe:
        """Return the schedule: Adam at 1e-4, and from epoch 19 on a new Adam at 4e-5."""
        epochs, ends = self.setting.epochs, ("relevance", "usage")
        groups = {name: Group(1e-4) for name in self.parameter_groups()}
        stages = [Stage("train", min(epochs, FRESH_AFTER), groups, end=() if epochs > FRESH_AFTER else ends)]
        if epochs > FRESH_AFTER:
            slower = {name: Group(4e-5) for name in groups}
            stages.append(Stage("slower", epochs - FRESH_AFTER, slower, fresh=True, end=ends))
        return Recipe(tuple(stages), self.setting.batch_size, self.setting.augment)
