"""The black box: encoder, global pooling, linear classifier. The baseline of all methods."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from resemblance.config.model import ModelSpec
from resemblance.core.output import Output
from resemblance.core.recipe import Recipe
from resemblance.core.traits import Traits
from resemblance.encoders.build import Encoder, build_encoder
from resemblance.methods.base import Method
from resemblance.methods.blackbox.config import BlackBoxConfig
from resemblance.methods.blackbox.stages import batch_size, blackbox_stages, encoder_and_head
from resemblance.prototypes.precision import full_precision, widened


class BlackBox(Method):
    """An ordinary classifier with the same interface; it has scores but no evidence.

    Args:
        config: the configuration.
        spec: classes and images.
        encoder: an encoder with its classifier.
        saved: not used: the model's shape does not depend on training.

    Example:
        >>> from resemblance.config.image import ImageSpec
        >>> from resemblance.methods.registry import build
        >>> import torch
        >>> spec = ModelSpec(("zero", "one"), ImageSpec(28, 28, 1, (0.0,), (1.0,)))
        >>> build("blackbox", {"encoder": "small"}, spec).eval()(torch.rand(3, 1, 28, 28)).scores.shape
        torch.Size([3, 2])
    """

    traits = Traits(encoder_groups=frozenset({"encoder"}))
    end_actions = {"probe": "resemblance.methods.blackbox.linear_probe"}  # noqa: RUF012

    def __init__(
        self,
        config: BlackBoxConfig,
        spec: ModelSpec,
        encoder: Encoder,
        saved: Mapping[str, Tensor] | None = None,
    ) -> None:
        super().__init__(config, spec)
        self.config: BlackBoxConfig = config
        self.encoder = encoder

    @classmethod
    def make_encoder(
        cls,
        config: BlackBoxConfig,
        spec: ModelSpec,
        module: nn.Module | None,
        tensors: Mapping[str, Tensor] | None,
        load_weights: bool,
    ) -> Encoder:
        """Make the encoder with its classifier."""
        return build_encoder(config, spec.image, spec.num_classes, load_weights=load_weights, module=module)

    def encode(self, images: Tensor) -> Tensor:
        """Return the embeddings (B, E) that the classifier reads."""
        return self.encoder.embed(self.encoder.features(self.normalize(images)))

    def head(self, latents: Tensor) -> Output:
        """Compute the classifier's logits."""
        with full_precision(latents):
            latents = widened(latents)
            return Output(widened(self.encoder.classify(latents)), latents[:, :0], latents)

    def loss(self, output: Output, labels: Tensor) -> dict[str, Tensor]:
        """Compute the cross entropy; smoothed labels make each class's embeddings compact (Müller et al. 2019)."""
        smoothing = self.config.label_smoothing
        return {"cross_entropy": self.cross_entropy(output.scores, labels, label_smoothing=smoothing)}

    def recipe(self) -> Recipe:
        """Return one stage for an encoder without weights; for one with weights, first a linear probe."""
        return Recipe(tuple(blackbox_stages(self.config, self.encoder)), batch_size(self.config))

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        """Return the parameters of the encoder and of its classifier."""
        return encoder_and_head(self.encoder)
