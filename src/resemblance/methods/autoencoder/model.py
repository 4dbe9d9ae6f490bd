"""The two baselines of PrototypeDL (Li, Liu, Chen and Rudin, AAAI 2018, section 3.3 and Table 3).

The first has a fully connected layer with m outputs where PrototypeDL has m prototypes; the second has no decoder
either, and ReLU in place of the sigmoid. Whether the paper's layer has a nonlinearity is not said: here it has that of
the network, as any hidden layer.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from resemblance.config.model import ModelSpec
from resemblance.core.output import Output
from resemblance.core.recipe import Group, Recipe, Stage
from resemblance.core.traits import Traits
from resemblance.methods.autoencoder.config import AutoencoderConfig
from resemblance.methods.base import Method
from resemblance.methods.prototypedl.autoencoder import build_autoencoder, initialise_convolutions
from resemblance.methods.prototypedl.model import reconstruction_error
from resemblance.prototypes.precision import full_precision, widened


class AutoencoderClassifier(Method):
    """An encoder, a fully connected layer and a linear classifier, and perhaps a decoder; it has no prototypes.

    Images are read in [0, 1] without normalisation, as by PrototypeDL.

    Args:
        config: the configuration.
        spec: classes and images.
        encoder: not used: the method has its own autoencoder.
        saved: not used: the model's shape does not depend on training.

    Example:
        >>> import torch
        >>> from resemblance.config.image import ImageSpec
        >>> from resemblance.methods.registry import build
        >>> spec = ModelSpec(("zero", "one"), ImageSpec(28, 28, 1, (0.0,), (1.0,)))
        >>> model = build("autoencoder", {"decoder": False}, spec).eval()
        >>> model(torch.rand(3, 1, 28, 28)).scores.shape, list(model.parameter_groups())
        (torch.Size([3, 2]), ['encoder', 'head'])
    """

    traits = Traits()

    def __init__(
        self,
        config: AutoencoderConfig,
        spec: ModelSpec,
        encoder: None = None,
        saved: Mapping[str, Tensor] | None = None,
    ) -> None:
        super().__init__(config, spec)
        self.config: AutoencoderConfig = config
        released = config.variant == "released"
        relu = released or not config.decoder
        self.autoencoder = build_autoencoder(config.architecture, spec.image, relu)
        if config.decoder or released:
            initialise_convolutions(self.autoencoder, released)
        if not config.decoder:
            self.autoencoder.decoder = nn.Sequential()
        unit = nn.ReLU() if relu else nn.Sigmoid()
        self.hidden = nn.Sequential(nn.Linear(self.autoencoder.code_length, config.units), unit)
        self.last = nn.Linear(config.units, spec.num_classes)

    def latents(self, images: Tensor) -> Tensor:
        """Return the code z = f(x), (B, D, h, w), of images (B, C, H, W) in [0, 1]."""
        return self.autoencoder.encode(images)

    def embed(self, latents: Tensor) -> Tensor:
        """Return the outputs of the fully connected layer, (B, m)."""
        hidden: Tensor = self.hidden(latents.flatten(1))
        return hidden

    def head(self, latents: Tensor) -> Output:
        """Compute the classifier's logits."""
        with full_precision(latents):
            latents = widened(latents)
            return Output(widened(self.last(self.embed(latents))), latents.flatten(1)[:, :0], latents)

    def forward(self, images: Tensor) -> Output:
        """Classify images (B, C, H, W) in [0, 1], and keep them: the loss compares reconstructions with them."""
        output = super().forward(images)
        output.extras["images"] = images
        return output

    def loss(self, output: Output, labels: Tensor) -> dict[str, Tensor]:
        """Compute cross entropy and, with a decoder, the reconstruction error (eq. 7 without R₁ and R₂)."""
        scale = 20.0 if self.config.variant == "released" else 1.0  # as in the authors' code
        terms = {"cross_entropy": scale * self.cross_entropy(output.scores, labels)}
        if self.config.decoder:
            error = reconstruction_error(self.autoencoder.decode(output.latents), output.extras["images"])
            terms["reconstruction"] = scale * self.config.reconstruction * error
        return terms

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        """Return the parameters of the encoder, of the decoder if there is one, and of both layers behind it."""
        encoder, decoder = self.autoencoder.encoder, self.autoencoder.decoder
        groups = {
            "encoder": list(encoder.parameters()),
            "decoder": list(decoder.parameters()),
            "head": [*self.hidden.parameters(), *self.last.parameters()],
        }
        return {name: parameters for name, parameters in groups.items() if parameters}

    def recipe(self) -> Recipe:
        """Return PrototypeDL's stage: Adam, batches of 250 elastically deformed images (section 3.2)."""
        rate = 0.002 if self.config.variant == "released" else 0.0001
        groups = {name: Group(rate) for name in self.parameter_groups()}
        return Recipe((Stage("train", 1500, groups),), batch_size=250, augment="elastic")
