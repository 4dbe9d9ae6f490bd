"""The one contract: every method answers an image the same way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from resemblance.config.method import MethodConfig
from resemblance.config.model import ModelSpec
from resemblance.core.output import Evidence, Match, Output
from resemblance.core.recipe import Recipe
from resemblance.core.training_step import TrainingStep
from resemblance.prototypes.layer import Prototypes

if TYPE_CHECKING:
    import numpy as np

    from resemblance.explain.explanation import Explanation
    from resemblance.prototypes.gallery import Gallery

ScoreKind = Literal["logit", "probability", "votes"]


class Normalize(nn.Module):
    """Turn images in [0, 1] into what an encoder was trained on; the constants live in the configuration."""

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean).reshape(-1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).reshape(-1, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Images (B, C, H, W) less the mean, in units of the deviation."""
        return (images - self.mean) / self.std


class Model(nn.Module):
    """Base of all methods: image → latents → similarities → evidence → scores.

    Args:
        config: the method's configuration.
        spec: classes and images.

    Attributes:
        end_actions: the method's own end actions: name, and the module that has it.
        maps: has a similarity map a prototype.
        projects: its prototypes become training patches or images ("push").
        prunes: prototypes can be dropped after projection.
        decodes: a prototype can be decoded to an image.
        differentiable: scores have gradients with respect to the image.
        explains: has prototypes and evidence; only the black box has not.
        score_kind: what a score is: ``logit``, ``probability`` or ``votes``.
        order: by what reports order the reasons.
        sources: the survey looks for a prototype's source among the images of its ``own`` classes, or of ``all``.
        head_groups: parameter groups that read nothing but the similarities; see `rescore`.
        gallery: pictures of the prototypes, once there are any.
        facts: what was measured of the model, saved with it: accuracies, counts, notes.
    """

    end_actions: ClassVar[Mapping[str, str]] = {}
    maps: bool = False
    projects: bool = False
    prunes: bool = False
    decodes: bool = False
    differentiable: bool = True
    explains: bool = True
    score_kind: ScoreKind = "logit"
    order: Literal["contribution", "similarity"] = "contribution"
    sources: Literal["own", "all"] = "own"
    head_groups: frozenset[str] = frozenset()

    prototypes: Prototypes | None

    def __init__(self, config: MethodConfig, spec: ModelSpec) -> None:
        super().__init__()
        self.config = config
        self.spec = spec
        self.normalize = Normalize(spec.image.mean, spec.image.std)
        self.prototypes = None  # on the instance: a class attribute would hide the submodule
        self.gallery: Gallery | None = None
        self.facts: dict[str, Any] = {}

    @classmethod
    def build(
        cls,
        config: Any,
        spec: ModelSpec,
        *,
        module: nn.Module | None = None,
        tensors: Mapping[str, Tensor] | None = None,
        load_weights: bool = True,
    ) -> Model:
        """Make the model with its encoder; see `methods.registry.build` for the arguments."""
        raise NotImplementedError

    @property
    def name(self) -> str:
        """The method's name."""
        return self.config.name

    @property
    def device(self) -> torch.device:
        """Where the model's tensors are."""
        return self.normalize.mean.device

    # What a method defines.

    def latents(self, images: Tensor) -> Tensor:
        """What the head reads of images (B, C, H, W) in [0, 1]: a map (B, D, h, w) or embeddings (B, E)."""
        raise NotImplementedError

    def head(self, latents: Tensor) -> Output:
        """Similarities and scores from latents, in float32 even under autocast."""
        raise NotImplementedError

    def evidence(self, output: Output, classes: Tensor) -> Evidence:
        """Take the scores of ``classes`` (B,) apart; contributions and bias add up to them."""
        raise NotImplementedError(f"{self.name} has no evidence")

    def loss(self, output: Output, labels: Tensor) -> dict[str, Tensor]:
        """The named, weighted terms whose sum is the training loss."""
        raise NotImplementedError

    def recipe(self) -> Recipe:
        """The paper's schedule."""
        raise NotImplementedError

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        """The parameters by the names that the recipe's stages use."""
        raise NotImplementedError

    def similarity_maps(self, latents: Tensor) -> Tensor:
        """Similarity of each cell to each prototype, (B, P, h, w); only where ``maps`` is true."""
        raise NotImplementedError(f"{self.name} has no similarity maps")

    def decode(self, vectors: Tensor) -> Tensor:
        """Images (P, C, H, W) in [0, 1] of prototype vectors; only where ``decodes`` is true."""
        raise NotImplementedError(f"{self.name} does not decode")

    def assign_owners(self) -> None:
        """Name the prototypes' classes where training decides them; done before the survey."""

    def before_step(self, moment: TrainingStep) -> None:
        """Take note of where training is, before each batch: for what goes by a schedule."""

    def update_without_grad(self, output: Output, labels: Tensor) -> None:
        """Learn without gradients from a training batch's output, before the optimiser's step."""

    def after_step(self) -> None:
        """Put in order what an optimiser step has left, such as prototypes that are to keep their length."""

    def selection_scores(self, output: Output) -> Tensor:
        """The scores (B, C) by which training chooses among epochs: the model's, or of what is trained of it."""
        return output.scores

    def also_measured(self, output: Output, labels: Tensor) -> dict[str, Tensor]:
        """What `evaluate` reports besides accuracy: values (B,) in [0, 1] by name, of which it gives the mean."""
        return {}

    def snapshot(self) -> dict[str, np.ndarray] | None:
        """What is worth keeping of the prototypes while they train, as small arrays; None for nothing."""
        return None

    def uses(self, output: Output) -> Tensor | None:
        """The prototypes (B, P) that each image uses; None: the one that it is most similar to."""
        return None

    def abstains(self, output: Output) -> Tensor | None:
        """Which images (B,) are left without an answer, where a method may abstain; None: it always answers."""
        return None

    def boxes_at(self, cells: Tensor, grid: tuple[int, int]) -> Tensor | None:
        """The rectangles (N, 4) that stand for cells (N,) of a map, where a method shows patches of one size.

        None: in explanations what the map highlights, at sources found by the survey the cell itself.
        """
        return None

    def probabilities(self, scores: Tensor) -> Tensor:
        """Probabilities (B, C) that go with logits."""
        return scores.softmax(dim=1)

    def rescore(self, output: Output) -> Output:
        """Answer anew from an output's similarities and extras, after ``head_groups`` have changed."""
        raise NotImplementedError(f"{self.name} does not answer from similarities")

    # What follows from it.

    def forward(self, images: Tensor) -> Output:
        """Answer images (B, C, H, W) in [0, 1]."""
        return self.head(self.latents(images))

    def embed(self, latents: Tensor) -> Tensor:
        """One vector an image, (B, E): the mean over the map, or the embedding itself."""
        return latents.flatten(2).mean(dim=2) if latents.dim() > 2 else latents

    def match(self, latents: Tensor) -> Match:
        """How near images come to each prototype, and where; by default at the largest similarity.

        In methods that project, the values are distances as `patch_distances` measures them, up to rounding.
        """
        with torch.no_grad():
            output = self.head(latents)
            if output.similarities is None:
                raise NotImplementedError(f"{self.name} has no prototypes")
            if not self.maps:
                return Match(-output.similarities, torch.zeros_like(output.similarities, dtype=torch.int64))
            values, cells = self.similarity_maps(latents).flatten(2).max(dim=2)
            return Match(-values, cells)

    def window_grid(self, latents: Tensor) -> tuple[int, int]:
        """Rows and columns of the cells that `match` counts, of latent maps (B, D, H, W)."""
        assert self.prototypes is not None
        vectors = self.prototypes.vectors
        height, width = (vectors.shape[2], vectors.shape[3]) if vectors.dim() == 4 else (1, 1)
        return latents.shape[2] - height + 1, latents.shape[3] - width + 1

    def patch_vectors(self, latents: Tensor, rows: Tensor, cells: Tensor) -> Tensor:
        """The latent vectors (n, *prototype shape) at flat ``cells`` (n,) of the images ``rows`` (n,)."""
        if latents.dim() == 2:
            return latents[rows]
        assert self.prototypes is not None
        vectors = self.prototypes.vectors
        height, width = (vectors.shape[2], vectors.shape[3]) if vectors.dim() == 4 else (1, 1)
        columns = self.window_grid(latents)[1]
        windows = latents.unfold(2, height, 1).unfold(3, width, 1)  # (B, D, H', W', h, w)
        patches = windows[rows, :, cells // columns, cells % columns]
        return patches.reshape(len(rows), *vectors.shape[1:])

    def patch_distances(self, patches: Tensor, vectors: Tensor) -> Tensor:
        """The distances that `match` rounds, of patches (..., *prototype shape) to vectors; squared Euclidean.

        By differences in float64, so that a patch is at distance 0 of itself and equal patches are equally far.
        """
        assert self.prototypes is not None
        wide = torch.float32 if patches.device.type == "mps" else torch.float64
        squares = (patches.to(wide) - vectors.to(wide)).square()
        return squares.flatten(-(self.prototypes.vectors.dim() - 1)).contiguous().sum(dim=-1)

    def distance_error_scale(self, longest: Tensor) -> Tensor:
        """(P,) how large the numbers are that `match` adds up and rounds, for patches up to the length ``longest``.

        Here those of ‖z‖² − 2zp + ‖p‖².
        """
        assert self.prototypes is not None
        vectors = self.prototypes.vectors.detach().flatten(1).to(longest.dtype)
        lengths: Tensor = torch.linalg.vector_norm(vectors, dim=1)
        return (longest + lengths).square()

    def normalized(self, vectors: Tensor) -> Tensor:
        """Prototype vectors as the head reads them; where it reads a direction, without their lengths."""
        return vectors

    def similarity_of(self, distances: Tensor) -> Tensor:
        """The similarity at a distance as `match` gives it, element by element."""
        return -distances

    def keep(self, indices: Tensor) -> None:
        """Drop all prototypes but those at ``indices``; methods with a head drop its columns too."""
        assert self.prototypes is not None
        self.prototypes.keep(indices)
        if self.gallery is not None:
            self.gallery = self.gallery.keep(indices.tolist())

    def save(self, folder: Any) -> None:
        """Write the model as a folder that `resemblance.load` reads."""
        from resemblance.methods.loading import save  # the contract offers what is built above it

        save(self, folder)

    def explain(self, image: Any, **options: Any) -> Explanation:
        """Explain one image: a path, a PIL image, an array or a tensor; see `explain.explain.explain`."""
        from resemblance.explain.explain import explain

        return explain(self, image, **options)
