"""PrototypeDL: case-based reasoning through prototypes (Li, Liu, Chen and Rudin, AAAI 2018).

An autoencoder (f, g) and a prototype classification network h share the code z = f(x):

    p(z) = [‖z − p_1‖², …, ‖z − p_m‖²]                          (eq. 1)
    P(y = k | x) = softmax(W p(z))_k                            (eq. 2)

PrototypeLayer p_j are points of the code space, shown by the decoder: g(p_j). The loss is

    L = E + λ R(g∘f) + λ₁ R₁ + λ₂ R₂                            (eq. 7)

with cross entropy E (eq. 3), reconstruction R (eq. 4), R₁ that brings each prototype near an encoded image
(eq. 5) and R₂ that brings each encoded image near a prototype (eq. 6).

The scores here are W p(z) less their mean over the classes: softmax and argmax are the same, and a
contribution says what speaks for a class rather than for all of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from resemblance.config.image import ImageSpec
from resemblance.config.model import ModelSpec
from resemblance.core.distributed import gather
from resemblance.core.output import Evidence, Output
from resemblance.core.recipe import Group, Recipe, Stage
from resemblance.core.traits import Traits
from resemblance.methods.base import PrototypeMethod
from resemblance.methods.prototypedl.autoencoder import Autoencoder, smallest_side
from resemblance.methods.prototypedl.config import PrototypeDLConfig
from resemblance.prototypes.precision import full_precision, widened
from resemblance.prototypes.similarity import linear_similarity
from resemblance.prototypes.vectors import VectorPrototypes

if TYPE_CHECKING:
    import numpy as np

LEAK = 0.2  # of the leaky ReLU: not in the paper; TensorFlow's default, the authors' framework


def r1(distances: Tensor) -> Tensor:
    """Mean over the prototypes of the smallest squared distance to an image, from (B, P) (eq. 5)."""
    return distances.amin(dim=0).mean()


def r2(distances: Tensor) -> Tensor:
    """Mean over the images of the smallest squared distance to a prototype, from (B, P) (eq. 6)."""
    return distances.amin(dim=1).mean()


def reconstruction_error(reconstructions: Tensor, images: Tensor) -> Tensor:
    """Mean over the images of the squared error summed over pixels and channels (eq. 4)."""
    return (reconstructions.float() - images.float()).square().flatten(1).sum(dim=1).mean()


def choose_architecture(image: ImageSpec) -> str:
    """The architecture for an image size.

    ``mnist`` up to 40 pixels and ``cars`` up to 96, as in the paper's studies of 28 and 64. Beyond that
    ``mnist`` again: its four strides leave a code of 10×14×14 at 224 pixels, those of ``cars`` 10×53×53.
    """
    largest, smallest = max(image.height, image.width), min(image.height, image.width)
    cars = 40 < largest <= 96 and smallest >= smallest_side(2, kernel=5, padding=0)
    return "cars" if cars else "mnist"


def build_autoencoder(config: PrototypeDLConfig, image: ImageSpec) -> Autoencoder:
    """The paper's autoencoders, sections 3.1 (``mnist``) and 4 (``cars``)."""
    architecture = config.architecture if config.architecture != "auto" else choose_architecture(image)
    if architecture == "cars":
        return Autoencoder(image, (32, 10), 5, 0, partial(nn.LeakyReLU, LEAK), nn.Sigmoid)
    # Zeros on all sides: TensorFlow's "same" has them at right and bottom only where the side is even.
    unit = nn.ReLU if config.variant == "released" else nn.Sigmoid
    return Autoencoder(image, (32, 32, 32, 10), 3, 1, unit, unit)


class PrototypeDL(PrototypeMethod):
    """Autoencoder, prototypes in its code space, and a linear layer on the distances to them.

    The encoder reads images in [0, 1] as they are, as in the paper, and the decoder answers in that range:
    the data's mean and deviation are not used.

    Args:
        config: the configuration.
        spec: classes and images.
        encoder: none; the method has its own autoencoder.
        saved: a saved state, whose m is taken over; by default as configured, or one per class with ``fixed_weights``.

    Example:
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
        self.autoencoder = build_autoencoder(config, spec.image)
        owners = torch.eye(count, classes) if config.fixed_weights else torch.zeros(count, classes)
        vectors = torch.rand(count, self.autoencoder.code_length)
        self.prototypes: VectorPrototypes = VectorPrototypes(vectors, owners, activation=linear_similarity)
        self.last = nn.Linear(count, classes, bias=False)
        self._initialise()

    def _initialise(self) -> None:
        """As the authors' code; the paper is silent, and its eight sigmoid layers need larger weights."""
        for layer in self.autoencoder.modules():
            if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
                if self.config.variant == "released":
                    nn.init.normal_(layer.weight, std=0.01)
                else:
                    nn.init.xavier_uniform_(layer.weight, gain=4.0)  # Glorot and Bengio's bound for sigmoids
                assert layer.bias is not None
                nn.init.zeros_(layer.bias)
        nn.init.uniform_(self.last.weight)
        if self.config.fixed_weights:
            self.last.weight.requires_grad_(False).copy_(-torch.eye(*self.last.weight.shape))

    # image → code → distances → scores

    def latents(self, images: Tensor) -> Tensor:
        """The code z = f(x), (B, D, h, w)."""
        return self.autoencoder.encode(images)

    def embed(self, latents: Tensor) -> Tensor:
        """The flattened code, (B, D·h·w), in which distances are measured."""
        return latents.flatten(1)

    def head(self, latents: Tensor) -> Output:
        """Squared distances p(z) (eq. 1), similarities −p(z), and scores W̃ p(z) with W̃ = W centred."""
        with full_precision(latents):
            latents = widened(latents)
            comparison = self.prototypes(latents)
            distances = comparison.extras["distances"]
            # W̃ p(z), written around the training means so that evidence adds up to the last digit.
            weights, usual = self.centred_weights, self.usual_distances
            scores = F.linear(distances - usual, weights, weights @ usual)
        return Output(scores, comparison.similarities, latents, comparison.extras)

    def forward(self, images: Tensor) -> Output:
        """Answer images (B, C, H, W) in [0, 1]; the loss needs them again, to compare reconstructions."""
        output = super().forward(images)
        output.extras["images"] = images
        return output

    @property
    def centred_weights(self) -> Tensor:
        """W̃ (C, P): W less its mean over the classes."""
        weights = widened(self.last.weight)
        return weights - weights.mean(dim=0)

    @property
    def usual_distances(self) -> Tensor:
        """Mean squared distance of each prototype to the training images (P,); 0 before the survey."""
        return -self.prototypes.mean_similarity

    def evidence(self, output: Output, classes: Tensor) -> Evidence:
        """Contributions w̃_cj (d²_j − its training mean); the means' part, Σ_j w̃_cj mean_j, is the bias.

        In terms of similarities s = −d² the factor is −w̃: the weights returned.
        """
        weights = self.centred_weights[classes]
        usual = self.usual_distances
        contributions = weights * (output.extras["distances"] - usual)
        prototypes = torch.arange(len(self.prototypes), device=classes.device)
        return Evidence(contributions, weights @ usual, prototypes, -weights)

    # prototypes as images

    def decode(self, vectors: Tensor) -> Tensor:
        """g(p_j): images (P, C, H, W) in [0, 1] of prototype vectors or codes."""
        return self.autoencoder.decode(vectors)

    def reconstruct(self, images: Tensor) -> Tensor:
        """g(f(x)): what the autoencoder keeps of images (B, C, H, W) in [0, 1]."""
        return self.decode(self.latents(images))

    def assign_owners(self) -> None:
        """Each prototype belongs to its visual class, that of its most negative weight (section 3.4)."""
        visual = self.last.weight.argmin(dim=0)
        self.prototypes.owners.copy_(F.one_hot(visual, self.spec.num_classes).bool())

    @torch.no_grad()
    def snapshot(self) -> dict[str, np.ndarray]:
        """The decoded prototypes as they are now, uint8 (P, H, W, C)."""
        images = self.decode(self.prototypes.vectors).mul(255).round().byte()
        return {"prototypes": images.permute(0, 2, 3, 1).cpu().numpy()}

    # training

    def loss(self, output: Output, labels: Tensor) -> dict[str, Tensor]:
        """The four terms of eq. 7; R₁'s minimum is over the batch, that of all processes together.

        The target of the reconstruction is the image that the encoder was given, deformed as it was. The
        authors' code has the whole twentyfold.
        """
        config, distances = self.config, output.extras["distances"]
        error = reconstruction_error(self.decode(output.latents), output.extras["images"])
        scale = 20.0 if config.variant == "released" else 1.0
        return {
            "cross_entropy": scale * F.cross_entropy(output.scores, labels),
            "reconstruction": scale * config.reconstruction * error,
            "r1": scale * config.r1 * r1(gather(distances)),
            "r2": scale * config.r2 * r2(distances),
        }

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        """Autoencoder, prototypes and, unless W = −I, the last layer."""
        groups = {"autoencoder": list(self.autoencoder.parameters()), "prototypes": [self.prototypes.vectors]}
        return groups if self.config.fixed_weights else {**groups, "last": list(self.last.parameters())}

    def recipe(self) -> Recipe:
        """One stage: Adam at a constant rate, batches of 250 elastically deformed images (section 3.2)."""
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
