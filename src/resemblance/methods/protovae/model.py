"""ProtoVAE: a self-explainable prototypical variational model (Gautam et al., NeurIPS 2022).

An encoder f gives each image a normal distribution, z ~ N(μ, diag σ²); a decoder g turns z back into an image.
Each of K classes has M prototypes φ_kj in the space of z. With the similarities (eq. 1, of Chen et al. 2019)

    s(k, j) = log((‖z − φ_kj‖² + 1) / (‖z − φ_kj‖² + ε))

a linear layer h without bias computes the scores. The loss is L_pred + L_orth + L_VAE:

    L_pred = cross entropy
    L_orth = Σ_k ‖Φ̄_kᵀ Φ̄_k − I_M‖_F²                Φ̄_k: the class's prototypes minus their mean (suppl. eq. 6)
    L_VAE  = mean over images of ‖x − x̂‖²
             + Σ_j s(y, j) / Σ_l s(y, l) · D_KL(N(μ, σ) ‖ N(φ_yj, I))    (suppl. eq. 5, with the sign corrected)

a mixture of VAEs that share their networks, each with its prior centred on one prototype. The authors' code computes
means over pixels, dimensions and classes where the paper has sums, and never samples z: see ``--variant``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from resemblance.config.errors import UserError
from resemblance.config.image import ImageSpec
from resemblance.config.model import ModelSpec
from resemblance.core.output import Evidence, Output
from resemblance.core.recipe import Group, Recipe, Stage
from resemblance.core.traits import Traits
from resemblance.encoders.build import Encoder, build_encoder
from resemblance.encoders.probe import evaluating
from resemblance.methods.base import PrototypeMethod
from resemblance.methods.protovae import vae
from resemblance.methods.protovae.config import ProtoVAEConfig
from resemblance.methods.protovae.mixture import gram_errors, kl_divergence, mixture
from resemblance.methods.protovae.prototypes import DistancePrototypes
from resemblance.prototypes.layer import PrototypeLayer
from resemblance.prototypes.precision import full_precision, widened
from resemblance.prototypes.vectors import VectorPrototypes

if TYPE_CHECKING:
    import numpy as np

LARGEST_LOGVAR = 18.420681  # ln 1e8, bound of |ln σ²|
# The largest side of the coarsest map: 28 → 7, 28 → 3, 32 → 2, 32 → 2 and 224 → 7 pixels, as in the paper.
COARSEST = {"mnist": 7, "quickdraw": 3, "svhn": 3, "cifar": 3, "resnet": 7}


def choose_architecture(image: ImageSpec) -> str:
    """Return ``mnist`` for grey images up to 40 pixels, ``cifar`` for others up to 96, otherwise ``resnet``."""
    largest = max(image.size)
    if largest > 96:
        return "resnet"
    return "mnist" if image.channels == 1 and largest <= 40 else "cifar"


class ProtoVAE(PrototypeMethod):
    """An encoder, a decoder, and M prototypes per class between them.

    All images are scaled to [−1, 1], the range of the decoder's tanh, whatever the mean and deviation of the data.

    Args:
        config: the configuration.
        spec: classes and images.
        encoder: replaces the architecture's own convolutions; its embedding is used.
        saved: a saved state, whose owners are used; by default each class owns M.

    Example:
        >>> from resemblance.methods.registry import build
        >>> spec = ModelSpec(("zero", "one"), ImageSpec(28, 28, 1, (0.0,), (1.0,)))
        >>> model = build("protovae", {"prototypes_per_class": 3}, spec).eval()
        >>> model.decode(model.prototypes.vectors).shape
        torch.Size([6, 1, 28, 28])
    """

    traits = Traits(decodes=True)
    prototypes: VectorPrototypes

    def __init__(
        self,
        config: ProtoVAEConfig,
        spec: ModelSpec,
        encoder: Encoder | None = None,
        saved: Mapping[str, Tensor] | None = None,
    ) -> None:
        super().__init__(config, spec)
        self.config: ProtoVAEConfig = config
        self.released = config.variant == "released"
        self.samples = not self.released if config.sample is None else config.sample
        name = self.architecture = architecture_of(config, spec.image)
        self.latent = config.latent or (256 if name == "mnist" else 512)
        sizes = vae.halvings(spec.image, COARSEST[name])
        if encoder is None:
            self.encoder: nn.Module = vae.encoder(spec.image, len(sizes) - 1, strided=name == "svhn")
            with evaluating(self), torch.no_grad():
                features = self.encoder(torch.zeros(1, spec.image.channels, *spec.image.size)).shape[1]
        else:
            self.encoder, features = encoder, encoder.embedding
        self.addon = vae.addon(features, self.latent)
        self.decoder = vae.Decoder(sizes, spec.image.channels, self.latent, late=name == "quickdraw")
        if saved is None:
            owners = PrototypeLayer.class_major(config.prototypes_per_class, spec.num_classes)
        else:
            owners = saved["prototypes.owners"].bool()
        vectors = torch.randn(len(owners), self.latent)
        # The authors' code uses distances, not their squares.
        prototype_class = DistancePrototypes if self.released else VectorPrototypes
        self.prototypes = prototype_class(vectors, owners)
        self.last = nn.Linear(len(owners), spec.num_classes, bias=False)
        with torch.no_grad():
            self.last.weight.copy_(torch.where(owners.T, 1.0, -0.5))

    @classmethod
    def make_encoder(
        cls,
        config: ProtoVAEConfig,
        spec: ModelSpec,
        module: nn.Module | None,
        tensors: Mapping[str, Tensor] | None,
        load_weights: bool,
    ) -> Encoder | None:
        """Make the encoder that the configuration names; None for the method's own."""
        if module is None and config.encoder == "auto" and architecture_of(config, spec.image) != "resnet":
            return None
        named = replace(config, encoder="resnet18") if config.encoder == "auto" else config
        return build_encoder(named, spec.image, None, load_weights=load_weights, module=module)

    # image → N(μ, σ²) → z → similarities → scores

    def latents(self, images: Tensor) -> Tensor:
        """Return f(x): μ and ln σ², concatenated, (B, 2D), of images (B, C, H, W) in [0, 1]."""
        if self.training and len(images) == 1:
            raise UserError(
                "ProtoVAE trains with batch norm, which needs at least two images per batch; use --batch-size 2"
            )
        images = 2 * images - 1
        features: Tensor
        if isinstance(self.encoder, Encoder):
            features = self.encoder.embed(self.encoder.features(images))
        else:
            features = self.encoder(images)
        latents: Tensor = self.addon(features)
        return latents

    def embed(self, latents: Tensor) -> Tensor:
        """Return μ, (B, D)."""
        return latents[:, : self.latent]

    def head(self, latents: Tensor) -> Output:
        """Compute similarities of z and scores h(s); z is sampled in training, and is μ otherwise.

        The authors' code samples it too, but always replaces it by μ (``~is_train`` is true for both booleans).
        """
        with full_precision(latents):
            latents = widened(latents)
            mu, logvar = latents[:, : self.latent], latents[:, self.latent :]
            logvar = logvar.clamp(-LARGEST_LOGVAR, LARGEST_LOGVAR)
            z = mu
            if self.training and self.samples:
                z = mu + (logvar / 2).exp() * torch.randn_like(mu)
            similarities = self.prototypes(z).similarities
            scores = self.last(similarities)
        return Output(scores, similarities, latents, {"mu": mu, "logvar": logvar, "z": z})

    def forward(self, images: Tensor) -> Output:
        """Classify images (B, C, H, W) in [0, 1], and keep them: the loss compares reconstructions with them."""
        output = super().forward(images)
        output.extras["images"] = images
        return output

    def evidence(self, output: Output, classes: Tensor) -> Evidence:
        """Return the contributions weight × similarity of the z that was used; the bias is 0."""
        weights = widened(self.last.weight)[classes]
        prototypes = torch.arange(len(self.prototypes), device=classes.device)
        return Evidence(
            weights * output.similarities, weights.new_zeros(classes.shape[0]), prototypes, weights
        )

    # decoding

    def decode(self, vectors: Tensor) -> Tensor:
        """Return g(φ), images (P, C, H, W) in [0, 1], of prototypes or other points (P, D) of the latent space."""
        images: Tensor = (self.decoder(vectors).float() + 1) / 2
        return images

    def reconstruct(self, images: Tensor) -> Tensor:
        """Return g(μ), the reconstructions of images (B, C, H, W) in [0, 1]."""
        return self.decode(self.embed(self.latents(images)).float())

    @torch.no_grad()
    def snapshot(self) -> dict[str, np.ndarray]:
        """Return the decoded prototypes as they are now, uint8 (P, H, W, C)."""
        with evaluating(self):
            images = self.decode(self.prototypes.vectors).mul(255).round().byte()
        return {"prototypes": images.permute(0, 2, 3, 1).cpu().numpy()}

    # training

    def loss(self, output: Output, labels: Tensor) -> dict[str, Tensor]:
        """Compute L_pred, the two parts of L_VAE, and L_orth, each times its weight."""
        config, extras = self.config, output.extras
        images, decoded = 2 * extras["images"].float() - 1, self.decoder(extras["z"]).float()
        errors = (decoded - images).square().flatten(1)
        with full_precision(decoded):
            divergences = kl_divergence(extras["mu"], extras["logvar"], self.prototypes.vectors)
            gram = gram_errors(self.prototypes.vectors, self.prototypes.owners)
        if config.uses_means:
            errors, divergences = errors / errors.shape[1], divergences / self.latent
        own = self.prototypes.owners.T[labels]
        if self.released:
            own = own & (divergences > 0)
            gram = gram.sqrt()
        kl = mixture(divergences, output.similarities, own)
        return {
            "cross_entropy": self.cross_entropy(output.scores, labels),
            "reconstruction": config.reconstruction * errors.sum(dim=1).mean(),
            "kl": config.kl * kl,
            "orthonormality": config.orthonormality * (gram.mean() if config.uses_means else gram.sum()),
        }

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        """Return the parameters of encoder with add-on, decoder, prototypes and last layer; all have the same rate."""
        return {
            "encoder": [*self.encoder.parameters(), *self.addon.parameters()],
            "decoder": list(self.decoder.parameters()),
            "prototypes": [self.prototypes.vectors],
            "last": list(self.last.parameters()),
        }

    def recipe(self) -> Recipe:
        """Return one stage of Adam at a constant rate (suppl. tables 2 and 6)."""
        name = self.architecture
        # For SVHN the authors' code has 36 epochs, the paper 10; ResNet-18 encoders get 15.
        long = name == "cifar" or (name == "svhn" and self.released)
        epochs = 36 if long else 15 if isinstance(self.encoder, Encoder) else 10
        stage = Stage(
            "train", epochs, {group: Group(1e-3) for group in self.parameter_groups()}, end=("usage",)
        )
        augment = "flip+crop" if name == "cifar" else "none"
        return Recipe((stage,), batch_size=64 if name == "svhn" else 128, augment=augment)

    def keep(self, indices: Tensor) -> None:
        """Drop prototypes and their columns of the last layer."""
        super().keep(indices)
        with torch.no_grad():
            self.last.weight = nn.Parameter(self.last.weight[:, indices].clone())
        self.last.in_features = len(indices)


def architecture_of(config: ProtoVAEConfig, image: ImageSpec) -> str:
    """Return the configured architecture, or the one that fits the images."""
    return choose_architecture(image) if config.architecture == "auto" else config.architecture
