"""PrototypeDL: case-based reasoning through prototypes (Li, Liu, Chen and Rudin, AAAI 2018).

An autoencoder (f, g) and a prototype classification network h share the code z = f(x):

    p(z) = [‖z − p_1‖², …, ‖z − p_m‖²]                          (eq. 1)
    P(y = k | x) = softmax(W p(z))_k                            (eq. 2)

The prototypes p_j are points of the code space; the decoder shows them, g(p_j). The loss is

    L = E + λ R(g∘f) + λ₁ R₁ + λ₂ R₂                            (eq. 7)

with cross entropy E (eq. 3), reconstruction error R (eq. 4), R₁, which moves each prototype near an encoded image
(eq. 5), and R₂, which moves each encoded image near a prototype (eq. 6).

The scores here are W p(z) minus their mean over the classes: softmax and argmax are the same, and a contribution is
evidence for one class, not for all of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from resemblance.config.model import ModelSpec
from resemblance.core.distributed import gather
from resemblance.core.output import Evidence, Output
from resemblance.core.recipe import Group, Recipe, Stage
from resemblance.core.traits import Traits
from resemblance.methods.base import PrototypeMethod
from resemblance.methods.prototypedl.autoencoder import build_autoencoder, initialise_convolutions
from resemblance.methods.prototypedl.config import PrototypeDLConfig
from resemblance.prototypes.precision import full_precision, widened
from resemblance.prototypes.similarity import linear_similarity
from resemblance.prototypes.vectors import VectorPrototypes

if TYPE_CHECKING:
    import numpy as np


def r1(distances: Tensor) -> Tensor:
    """Compute R₁, the mean over prototypes of the smallest squared distance (B, P) to an image (eq. 5)."""
    return distances.amin(dim=0).mean()


def r2(distances: Tensor) -> Tensor:
    """Compute R₂, the mean over images of the smallest squared distance (B, P) to a prototype (eq. 6)."""
    return distances.amin(dim=1).mean()


def reconstruction_error(reconstructions: Tensor, images: Tensor) -> Tensor:
    """Compute R, the mean over images of the squared error summed over pixels and channels (eq. 4)."""
    return (reconstructions.float() - images.float()).square().flatten(1).sum(dim=1).mean()


class PrototypeDL(PrototypeMethod):
    """An autoencoder, prototypes in its code space, and a linear layer on the distances to them.

    The encoder reads images in [0, 1] without normalisation, as in the paper, and the decoder returns images in that
    range: the mean and deviation of the data are not used.

    Args:
        config: the configuration.
        spec: classes and images.
        encoder: not used: the method has its own autoencoder.
        saved: a saved state, whose m is used; by default as configured, or one per class with ``fixed_weights``.

    Example:
        >>> from resemblance.config.image import ImageSpec
        >>> from resemblance.methods.registry import build
        >>> spec = ModelSpec(("zero", "one"), ImageSpec(28, 28, 1, (0.0,), (1.0,)))
        >>> model = build("prototypedl", {}, spec).eval()
        >>> model.decode(model.prototypes.vectors).shape
        torch.Size([15, 1, 28, 28])
    """

    traits = Traits(decodes=True, order="similarity")

    def __init__(
        self,
        config: PrototypeDLConfig,
        spec: ModelSpec,
        encoder: None = None,
        saved: Mapping[str, Tensor] | None = None,
    ) -> None:
        super().__init__(config, spec)
        self.config: PrototypeDLConfig = config
        classes = spec.num_classes
        count = classes if config.fixed_weights else config.prototypes
        if saved is not None:
            count = len(saved["prototypes.owners"])
        released = config.variant == "released"
        self.autoencoder = build_autoencoder(config.architecture, spec.image, relu=released)
        owners = torch.eye(count, classes) if config.fixed_weights else torch.zeros(count, classes)
        vectors = torch.rand(count, self.autoencoder.code_length)
        self.prototypes: VectorPrototypes = VectorPrototypes(vectors, owners, activation=linear_similarity)
        self.last = nn.Linear(count, classes, bias=False)
        self._initialise()

    def _initialise(self) -> None:
        """Initialise the convolutions and the last layer."""
        initialise_convolutions(self.autoencoder, released=self.config.variant == "released")
        nn.init.uniform_(self.last.weight)
        if self.config.fixed_weights:
            self.last.weight.requires_grad_(False).copy_(-torch.eye(*self.last.weight.shape))

    # image → code → distances → scores

    def latents(self, images: Tensor) -> Tensor:
        """Return the code z = f(x), (B, D, h, w)."""
        return self.autoencoder.encode(images)

    def embed(self, latents: Tensor) -> Tensor:
        """Return the flattened code, (B, D·h·w), in which distances are measured."""
        return latents.flatten(1)

    def head(self, latents: Tensor) -> Output:
        """Compute distances p(z) (eq. 1), similarities −p(z), and scores W̃ p(z), with W̃ the centred W."""
        with full_precision(latents):
            latents = widened(latents)
            comparison = self.prototypes(latents)
            distances = comparison.extras["distances"]
            # W̃ p(z), as a sum around the training means, so that evidence adds up to the last digit.
            weights, mean = self.centred_weights, self.mean_distances
            scores = F.linear(distances - mean, weights, weights @ mean)
        return Output(scores, comparison.similarities, latents, comparison.extras)

    def forward(self, images: Tensor) -> Output:
        """Classify images (B, C, H, W) in [0, 1], and keep them: the loss compares reconstructions with them."""
        output = super().forward(images)
        output.extras["images"] = images
        return output

    @property
    def centred_weights(self) -> Tensor:
        """W̃ (C, P): W minus its mean over the classes."""
        weights = widened(self.last.weight)
        return weights - weights.mean(dim=0)

    @property
    def mean_distances(self) -> Tensor:
        """The mean squared distance of each prototype to the training images (P,); 0 until usage is counted."""
        return -self.prototypes.mean_similarity

    def evidence(self, output: Output, classes: Tensor) -> Evidence:
        """Return the contributions w̃_cj (d²_j − mean_j), with training means; the bias is Σ_j w̃_cj mean_j.

        In terms of similarities s = −d² the factor is −w̃, which is returned as weight.
        """
        centred, mean = self.centred_weights, self.mean_distances
        weights, bias = centred[classes], (centred @ mean)[classes]  # rounded as in the head
        contributions = weights * (output.extras["distances"] - mean)
        prototypes = torch.arange(len(self.prototypes), device=classes.device)
        return Evidence(contributions, bias, prototypes, -weights)

    # decoding

    def decode(self, vectors: Tensor) -> Tensor:
        """Return g(p_j), images (P, C, H, W) in [0, 1], of prototype vectors or codes."""
        return self.autoencoder.decode(vectors)

    def reconstruct(self, images: Tensor) -> Tensor:
        """Return g(f(x)), the reconstructions of images (B, C, H, W) in [0, 1]."""
        return self.decode(self.latents(images))

    def assign_owners(self) -> None:
        """Let each prototype belong to its visual class, that of its most negative weight (section 3.4)."""
        visual = self.last.weight.argmin(dim=0)
        self.prototypes.owners.copy_(F.one_hot(visual, self.spec.num_classes).bool())

    @torch.no_grad()
    def snapshot(self) -> dict[str, np.ndarray]:
        """Return the decoded prototypes as they are now, uint8 (P, H, W, C)."""
        images = self.decode(self.prototypes.vectors).mul(255).round().byte()
        return {"prototypes": images.permute(0, 2, 3, 1).cpu().numpy()}

    # training

    def loss(self, output: Output, labels: Tensor) -> dict[str, Tensor]:
        """Compute the four terms of eq. 7; the minimum of R₁ is over the batches of all processes.

        The target of the reconstruction is the image that the encoder read, with its deformation. In the authors' code
        all terms are multiplied by 20.
        """
        config, distances = self.config, output.extras["distances"]
        error = reconstruction_error(self.decode(output.latents), output.extras["images"])
        scale = 20.0 if config.variant == "released" else 1.0
        return {
            "cross_entropy": scale * self.cross_entropy(output.scores, labels),
            "reconstruction": scale * config.reconstruction * error,
            "r1": scale * config.r1 * r1(gather(distances)),
            "r2": scale * config.r2 * r2(distances),
        }

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        """Return the parameters of autoencoder, prototypes and, unless W = −I, the last layer."""
        groups = {"autoencoder": list(self.autoencoder.parameters()), "prototypes": [self.prototypes.vectors]}
        return groups if self.config.fixed_weights else {**groups, "last": list(self.last.parameters())}

    def recipe(self) -> Recipe:
        """Return one stage of Adam at a constant rate, batches of 250 elastically deformed images (section 3.2)."""
        rate = 0.002 if self.config.variant == "released" else 0.0001
        groups = {name: Group(rate) for name in self.parameter_groups()}
        stage = Stage("train", 1500, groups, end=("usage",))
        return Recipe((stage,), batch_size=250, augment="elastic")

    def keep(self, indices: Tensor) -> None:
        """Drop prototypes and their columns of the last layer."""
        super().keep(indices)
        weight = self.last.weight
        with torch.no_grad():
            self.last.weight = nn.Parameter(weight[:, indices].clone(), requires_grad=weight.requires_grad)
        self.last.in_features = len(indices)
