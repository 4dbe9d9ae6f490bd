"""FLINT: a framework to learn with interpretation (Parekh, Mozharovskyi and d'Alché-Buc, NeurIPS 2021).

A predictor f and its interpreter g are learned together. Attribute functions Φ read hidden layers of f, a linear
layer h makes class scores of them, and a decoder d brings the image back:

    Φ(x) = (φ_1(x), …, φ_J(x)) ≥ 0        g(x) = softmax(h(Φ(x))),  h(Φ) = W Φ + b

    L = L_pred(f) + β L_of + γ L_if + δ L_cd

    L_of   output fidelity: g answers like f
    L_if   input fidelity: d(Φ(x)) resembles x
    L_cd   conciseness and diversity: Σ_x E(Φ(x)) − E(mean over x of Φ(x)) + η Σ_x ‖Φ(x)‖₁

with E(v) the entropy of softmax(v). What decides here is g ("FLINT-g"): an attribute contributes φ_j w_jc to the
score of class c. The predictor's logits ("FLINT-f") go along in ``extras``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from resemblance.config.errors import UserError
from resemblance.config.model import ModelSpec
from resemblance.core.distributed import gather
from resemblance.core.output import Evidence, Output
from resemblance.core.recipe import Group, Recipe, Stage
from resemblance.core.training_step import TrainingStep
from resemblance.encoders.build import build_encoder
from resemblance.methods.base import PrototypeMethod
from resemblance.methods.flint.config import OWN_ENCODERS, SETTINGS, WEIGHTS, FLINTConfig, Setting
from resemblance.methods.flint.networks import (
    Attributes,
    EncoderPredictor,
    Magnitude,
    MnistPredictor,
    Predictor,
    ResNetPredictor,
    build_decoder,
    choose_predictor,
)
from resemblance.prototypes.precision import full_precision, widened
from resemblance.prototypes.scalars import ScalarPrototypes

FRESH_AFTER = 18  # epochs: longer training goes on with a new optimiser and a smaller rate
DROPOUT = 0.01  # of the attributes before h


def entropy(attributes: Tensor) -> Tensor:
    """E: the entropy (B,) of softmax(|φ|), in nats; the absolute value matters only to the released code's Φ."""
    logs = attributes.abs().log_softmax(dim=1)
    return -(logs.exp() * logs).sum(dim=1)


def conciseness(attributes: Tensor) -> Tensor:
    """The mean over the batch of E(Φ(x)): few attributes an image."""
    return entropy(attributes).mean()


def diversity(attributes: Tensor) -> Tensor:
    """−E of the batch's mean: all attributes are for something."""
    return -entropy(attributes.abs().mean(dim=0, keepdim=True)).sum()


def agreement(answers: Tensor, target: Tensor) -> Tensor:
    """Generalised cross entropy −Σ_c softmax(target)_c · log softmax(answers)_c of logits (B, C), batch mean."""
    return -(target.softmax(dim=1) * answers.log_softmax(dim=1)).sum(dim=1).mean()


def settle(config: FLINTConfig, spec: ModelSpec) -> tuple[str, Setting]:
    """The predictor's name, and the setting with what the configuration says otherwise.

    Example:
        >>> from resemblance.config.image import ImageSpec
        >>> name, setting = settle(FLINTConfig(attributes=9), ModelSpec(("a", "b"), ImageSpec(28, 28, 1, (0,), (1,))))
        >>> name, setting.attributes, setting.input_fidelity.weight
        ('mnist', 9, 0.8)
    """
    name = choose_predictor(spec.image) if config.encoder == "auto" else config.encoder
    chosen = config.setting
    if chosen == "auto":
        resnet = "cifar" if spec.image.channels == 3 else "quickdraw"
        chosen = {"mnist": "mnist", "resnet": resnet}.get(name, "kmex")
    setting = SETTINGS[chosen]
    count = setting.attributes * (spec.num_classes if setting.per_class else 1)
    setting = replace(setting, attributes=count if config.attributes is None else config.attributes)
    if config.threshold is not None:
        setting = replace(setting, threshold=config.threshold)
    for term in WEIGHTS:
        if (weight := getattr(config, term)) is not None:
            setting = replace(setting, **{term: replace(getattr(setting, term), weight=weight)})
    return name, setting


class FLINT(PrototypeMethod):
    """A predictor, and attributes on its hidden layers whose weighted sum answers in its place.

    Args:
        config: the configuration.
        spec: classes and images.
        encoder: the predictor f.
        saved: has nothing that the model's shape depends on.

    Attributes:
        relevance: (C, J) mean relevance of each attribute to the images predicted as a class; 0 where there is none.

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
        name, setting = settle(config, spec)
        self.setting = setting
        count, classes = setting.attributes, spec.num_classes
        released = config.variant == "released"
        self.predictor = encoder
        hidden: nn.Module = nn.LeakyReLU() if name == "mnist" else nn.ReLU()
        # Φ ≥ 0, says the paper; the released code for MNIST lets small negatives through, and takes |Φ| in L_cd.
        last: nn.Module = nn.ReLU()
        if name == "mnist":
            last = nn.LeakyReLU() if released else Magnitude()
        self.attributes = Attributes(encoder.taps, count, hidden, last)
        self.decoder = build_decoder(name, count, spec.image)
        self.interpreter = nn.Linear(count, classes)
        self.dropout = nn.Dropout(DROPOUT)
        self.prototypes: ScalarPrototypes = ScalarPrototypes(torch.zeros(count, classes), absent_at_zero=True)
        self.register_buffer("relevance", torch.zeros(classes, count))
        # MNIST and QuickDraw go in as they are, CIFAR standardised.
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
        """Make the predictor: the paper's, or any encoder with a classifier."""
        name, _ = settle(config, spec)
        if module is None and name in OWN_ENCODERS:
            if config.weights != "none" or config.cut is not None:
                raise UserError(f"--encoder {name} takes neither --weights nor --cut")
            own = MnistPredictor if name == "mnist" else ResNetPredictor
            return own(spec.image, spec.num_classes)
        named = replace(config, encoder=name)
        encoder = build_encoder(named, spec.image, None, load_weights=load_weights, module=module)
        return EncoderPredictor(encoder, spec.num_classes)

    @property
    def encoder(self) -> nn.Module:
        """The encoder inside the predictor; the predictor itself where it is the paper's."""
        return self.predictor.encoder if isinstance(self.predictor, EncoderPredictor) else self.predictor

    # image → hidden layers of f → attributes → scores

    def inputs(self, images: Tensor) -> Tensor:
        """What f reads and d is to bring back: images (B, C, H, W) in [0, 1], or standardised."""
        return self.normalize(images) if self.standardised else images

    def phi(self, inputs: Tensor) -> Tensor:
        """Φ(x), (B, J), of what f reads."""
        attributes: Tensor = self.attributes(self.predictor(inputs)[1])
        return attributes

    def latents(self, images: Tensor) -> Tensor:
        """Φ(x) and the logits of f(x), side by side, (B, J + C)."""
        logits, taps = self.predictor(self.inputs(images))
        return torch.cat([self.attributes(taps), logits], dim=1)

    def head(self, latents: Tensor) -> Output:
        """g: scores h(Φ(x)) = W Φ(x) + b, before the softmax."""
        with full_precision(latents):
            latents = widened(latents)
            attributes, logits = self.prototypes(latents).similarities, latents[:, self.setting.attributes :]
            used = self.dropout(attributes)
            return Output(self.interpreter(used), attributes, latents, {"predictor": logits, "used": used})

    def forward(self, images: Tensor) -> Output:
        """Answer images (B, C, H, W) in [0, 1]; the loss needs them again, to compare reconstructions."""
        output = super().forward(images)
        output.extras["images"] = images
        return output

    def embed(self, latents: Tensor) -> Tensor:
        """Φ(x), (B, J)."""
        return latents[:, : self.setting.attributes]

    def evidence(self, output: Output, classes: Tensor) -> Evidence:
        """Contributions φ_j w_jc, and the class's bias."""
        weights = widened(self.interpreter.weight)[classes]
        prototypes = torch.arange(self.setting.attributes, device=classes.device)
        bias = widened(self.interpreter.bias)[classes]
        return Evidence(weights * output.extras["used"], bias, prototypes, weights)

    def as_images(self, inputs: Tensor) -> Tensor:
        """What f reads, back as images (B, C, H, W) in [0, 1]."""
        if self.standardised:
            inputs = inputs * self.normalize.std + self.normalize.mean
        return inputs.clamp(0, 1)

    def reconstruct(self, images: Tensor) -> Tensor:
        """d(Φ(x)) as images (B, C, H, W) in [0, 1]."""
        return self.as_images(self.decoder(self.embed(self.latents(images))).float())

    def assign_owners(self) -> None:
        """An attribute belongs to the classes to which its relevance is above the threshold."""
        self.prototypes.owners.copy_((self.relevance > self.setting.threshold).T)

    def extra_metrics(self, output: Output, labels: Tensor) -> dict[str, Tensor]:
        """How often f is right (FLINT-f), and how often g answers like f (fidelity)."""
        predicted = output.extras["predictor"].argmax(dim=1)
        return {
            "accuracy of the predictor": predicted == labels,
            "fidelity": predicted == output.scores.argmax(dim=1),
        }

    # training

    def before_step(self, step: TrainingStep) -> None:
        """The terms come in one after the other."""
        self.step = step

    def weight(self, term: str) -> float:
        """A term's weight now; all of it where nothing trains, and after the first stage."""
        step, scheduled = self.step, getattr(self.setting, term)
        if not self.training or step is None or step.before > 0:
            return float(scheduled.weight)
        # Epochs are shares of the first stage, so that a shorter training has all the terms as well.
        return float(scheduled.at(step.progress, min(self.setting.epochs, FRESH_AFTER)))

    def loss(self, output: Output, labels: Tensor) -> dict[str, Tensor]:
        """L_pred, L_if, L_of and the three parts of L_cd, by their weights of the step."""
        attributes, logits = output.similarities, output.extras["predictor"]
        error = self.decoder(attributes).float() - self.inputs(output.extras["images"]).float()
        # The interpreter follows the predictor, which is not held to it. Printed is the other direction,
        # −h(Φ)ᵀ log f: h then settles on one class for all images, where its gradient vanishes.
        output_fidelity = agreement(output.scores, logits.detach())
        # Means over pixels and attributes, which is what the weights of paper and code are for.
        input_fidelity = error.abs().mean() if self.absolute_error else error.square().mean()
        sparsity = attributes.abs().mean()
        return {
            "prediction": self.weight("prediction") * F.cross_entropy(logits, labels),
            "input_fidelity": self.weight("input_fidelity") * input_fidelity,
            "output_fidelity": self.weight("output_fidelity") * output_fidelity,
            "sparsity": self.weight("sparsity") * sparsity,
            "conciseness": self.weight("conciseness") * conciseness(attributes),
            "diversity": self.weight("diversity") * diversity(gather(attributes)),
        }

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        """f, Φ, d and h."""
        return {
            "predictor": list(self.predictor.parameters()),
            "attributes": list(self.attributes.parameters()),
            "decoder": list(self.decoder.parameters()),
            "interpreter": list(self.interpreter.parameters()),
        }

    def recipe(self) -> Recipe:
        """Adam at 1e-4; from epoch 19 on a new Adam at 4e-5."""
        epochs, ends = self.setting.epochs, ("relevance", "usage")
        groups = {name: Group(1e-4) for name in self.parameter_groups()}
        stages = [Stage("train", min(epochs, FRESH_AFTER), groups, end=() if epochs > FRESH_AFTER else ends)]
        if epochs > FRESH_AFTER:
            slower = {name: Group(4e-5) for name in groups}
            stages.append(Stage("slower", epochs - FRESH_AFTER, slower, fresh=True, end=ends))
        return Recipe(tuple(stages), self.setting.batch_size, self.setting.augment)
