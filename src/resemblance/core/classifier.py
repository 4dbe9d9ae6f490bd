"""The contract of all models, part one: `Classifier`, the base of every model, also of the black box."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Self

import torch
from torch import Tensor, nn

from resemblance.config.encoder import EncoderConfig
from resemblance.config.method import MethodConfig
from resemblance.config.model import ModelSpec
from resemblance.core.class_weights import weighted_cross_entropy
from resemblance.core.other_software import UsableElsewhere
from resemblance.core.output import Output
from resemblance.core.probabilities import as_probabilities
from resemblance.core.recipe import Recipe
from resemblance.core.training_hooks import TrainingHooks
from resemblance.core.traits import Traits
from resemblance.encoders.build import Encoder, build_encoder

if TYPE_CHECKING:
    import numpy as np


class Normalize(nn.Module):
    """Normalise images in [0, 1] as the encoder was trained; the constants are in the configuration."""

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean).reshape(-1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).reshape(-1, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Subtract the mean from images (B, C, H, W) and divide by the deviation."""
        return (images - self.mean) / self.std


class Classifier(TrainingHooks, UsableElsewhere):
    """Base of all models: image → latents → scores.

    A method defines `latents`, `head`, `loss`, `recipe` and `parameter_groups`, and where it needs another encoder
    than its configuration names, `make_encoder`. Its constructor takes ``(config, spec, encoder, saved)``, where
    ``saved`` is a saved state or None: shapes that training has decided (the number of prototypes and their owners)
    are read from it; the values are loaded afterwards.

    Instead of `latents`, a method with an encoder defines `encode` and `refine`, and names its encoder's parameters
    in the trait ``encoder_groups``: while none of them is trained, `encode` is computed once per image.

    Args:
        config: the method's configuration.
        spec: classes and images.

    Attributes:
        traits: what the model can do; a class attribute, or set by the constructor where the configuration decides.
        end_actions: the method's own end actions: name → the module that registers it.
        renamed_tensors: name of a tensor in older model folders → its present name.
        fact_types: the types of the method's own facts by name, checked when a model folder is loaded.
        facts: measurements of the model that are saved with it: accuracies, counts, notes.
        class_weights: (C,) weights of the classes in the loss while the model is trained with ``--class-weights``; else
            None. They are not saved.
    """

    traits: Traits = Traits()
    end_actions: ClassVar[Mapping[str, str]] = {}
    renamed_tensors: ClassVar[Mapping[str, str]] = {}
    fact_types: ClassVar[Mapping[str, Any]] = {}

    def __init__(self, config: MethodConfig, spec: ModelSpec) -> None:
        super().__init__()
        self.config = config
        self.spec = spec
        self.traits = replace(self.traits, words=config.words)
        self.normalize = Normalize(spec.image.mean, spec.image.std)
        self.facts: dict[str, Any] = {}
        self.class_weights: Tensor | None = None

    @classmethod
    def build(
        cls,
        config: Any,
        spec: ModelSpec,
        *,
        module: nn.Module | None = None,
        tensors: Mapping[str, Tensor] | None = None,
        load_weights: bool = True,
    ) -> Self:
        """Make the model with its encoder; see `methods.registry.build` for the arguments."""
        encoder = cls.make_encoder(config, spec, module, tensors, load_weights)
        make: Any = cls
        model: Self = make(config, spec, encoder, tensors)
        return model

    @classmethod
    def make_encoder(
        cls,
        config: Any,
        spec: ModelSpec,
        module: nn.Module | None,
        tensors: Mapping[str, Tensor] | None,
        load_weights: bool,
    ) -> nn.Module | None:
        """Make the encoder that the configuration names, without a classifier; None for methods without one."""
        if not isinstance(config, EncoderConfig):
            return None
        encoder: Encoder = build_encoder(config, spec.image, None, load_weights=load_weights, module=module)
        return encoder

    @property
    def name(self) -> str:
        """The method's name."""
        return self.config.name

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes, in the order of the scores."""
        return self.spec.classes

    @property
    def device(self) -> torch.device:
        """The device of the model's tensors."""
        return self.normalize.mean.device

    # Methods define these.

    def latents(self, images: Tensor) -> Tensor:
        """Compute the head's input from images (B, C, H, W) in [0, 1]: a map (B, D, h, w) or embeddings (B, E)."""
        return self.refine(self.encode(images))

    def head(self, latents: Tensor) -> Output:
        """Compute scores from latents, at least in float32, even under autocast."""
        raise NotImplementedError

    def loss(self, output: Output, labels: Tensor) -> dict[str, Tensor]:
        """Compute the named, weighted terms whose sum is the training loss."""
        raise NotImplementedError

    def recipe(self) -> Recipe:
        """Return the paper's schedule."""
        raise NotImplementedError

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        """Return the parameters by the names that the recipe's stages use."""
        raise NotImplementedError

    # Methods may define these.

    def encode(self, images: Tensor) -> Tensor:
        """Compute all that the model reads of its encoder: the map (B, D, h, w) or embeddings (B, E)."""
        raise NotImplementedError(f"{self.name} does not separate its encoder from what follows")

    def refine(self, encoded: Tensor) -> Tensor:
        """Compute latents from what `encode` returned."""
        return encoded

    def forward_encoded(self, encoded: Tensor) -> Output:
        """Compute the output from what `encode` returned."""
        return self.head(self.refine(encoded))

    @property
    def trains_on_encoded(self) -> bool:
        """Whether `forward_encoded` is what `forward` does in training, too."""
        return self.encodes and type(self).forward is Classifier.forward

    @property
    def encodes(self) -> bool:
        """Whether `latents` is `refine` after `encode`; not in a subclass that overrides `latents`."""
        return bool(self.traits.encoder_groups) and type(self).latents is Classifier.latents

    def embed(self, latents: Tensor) -> Tensor:
        """Return one vector per image, (B, E): the mean over the map, or the embedding itself."""
        return latents.flatten(2).mean(dim=2) if latents.dim() > 2 else latents

    def selection_scores(self, output: Output) -> Tensor:
        """Return the scores (B, C) by which training selects epochs: the model's, or those of its trained part."""
        return output.scores

    def extra_metrics(self, output: Output, labels: Tensor) -> dict[str, Tensor]:
        """Return metrics that `evaluate` reports other than accuracy: values (B,) in [0, 1] by name, to be averaged."""
        return {}

    def probabilities(self, scores: Tensor) -> Tensor:
        """Return the probabilities (B, C) of scores (B, C), by the kind of the scores (`as_probabilities`)."""
        return as_probabilities(scores, self.traits.score_kind)

    def snapshot(self) -> dict[str, np.ndarray] | None:
        """Return small arrays that are written while the model trains; None for nothing."""
        return None

    # This follows from them.

    def cross_entropy(self, scores: Tensor, labels: Tensor, label_smoothing: float = 0.0) -> Tensor:
        """Return the mean cross entropy of scores (B, C) with labels (B,), with the weights of the classes if any."""
        return weighted_cross_entropy(scores, labels, self.class_weights, label_smoothing)

    def forward(self, images: Tensor) -> Output:
        """Compute the output for images (B, C, H, W) in [0, 1]."""
        return self.head(self.latents(images))
