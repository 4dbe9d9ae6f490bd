"""ProtoTree: a decision tree of prototypes (Nauta, van Bree, Seifert, CVPR 2021).

A convolutional encoder and a 1×1 convolution f compute a latent map z = f(x). Each node n of a binary tree has a
prototype p_n. The image goes right with a probability that depends on its nearest patch z~*, otherwise left:

    p_e(n→right)(x) = exp(−|z~* − p_n|),   p_e(n→left)(x) = 1 − p_e(n→right)(x)              (section 3.1)
    π_l(x)          = product of p_e over the edges of the path to leaf l                    (eq. 2)
    ŷ(x)            = Σ_l π_l(x) σ(c_l),   σ the softmax                                     (eq. 1)

The class distributions of the leaves are learned without gradients, batch by batch (section 4.2):

    c_l ← relu(c_l − c_l_old / B) + Σ_x π_l(x) · σ(c_l) ⊙ y / ŷ                              (eq. 3)
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn import functional as F

from resemblance.config.model import ModelSpec
from resemblance.core.class_weights import weighted_mean
from resemblance.core.distributed import world
from resemblance.core.output import Evidence, Output, Paths
from resemblance.core.recipe import Recipe
from resemblance.core.training_step import TrainingStep
from resemblance.core.traits import Traits
from resemblance.encoders.build import Encoder, build_map_encoder, check_part
from resemblance.methods.base import PrototypeMethod
from resemblance.methods.prototree.config import ProtoTreeConfig
from resemblance.methods.prototree.presence import log_absence
from resemblance.methods.prototree.prototypes import PresencePrototypes
from resemblance.methods.prototree.schedule import schedule
from resemblance.methods.prototree.tree import Tree
from resemblance.prototypes.precision import full_precision


class ProtoTree(PrototypeMethod):
    """A soft decision tree over the presence of parts; each leaf has a class distribution.

    Args:
        config: the configuration.
        spec: classes and images.
        encoder: computes the latent map; its own classifier is not needed.
        saved: a saved state, whose tree is used; by default a complete tree of the configured depth.

    Attributes:
        tree: the shape of the tree and its paths.
        counts: (L, C), the c of the leaves; their softmax is the class distribution.
        counts_before: (L, C), the same at the start of the epoch.

    Example:
        >>> from resemblance.config.image import ImageSpec
        >>> from resemblance.methods.registry import build
        >>> spec = ModelSpec(("zero", "one"), ImageSpec(28, 28, 1, (0.0,), (1.0,)))
        >>> model = build("prototree", {"encoder": "small"}, spec).eval()
        >>> model.tree.nodes, model.tree.leaves
        (7, 8)
        >>> model(torch.rand(3, 1, 28, 28)).scores.sum(1).allclose(torch.ones(3))
        True
    """

    end_actions = {"prune_tree": "resemblance.methods.prototree.pruning"}  # noqa: RUF012
    traits = Traits(
        maps=True,
        projects=True,
        score_kind="probability",
        encoder_groups=frozenset({"encoder", "free"}),
    )

    counts: Tensor
    counts_before: Tensor

    def __init__(
        self,
        config: ProtoTreeConfig,
        spec: ModelSpec,
        encoder: Encoder,
        saved: Mapping[str, Tensor] | None = None,
    ) -> None:
        super().__init__(config, spec)
        self.config: ProtoTreeConfig = config
        # The scores of a single leaf are locally constant.
        self.traits = replace(self.traits, differentiable=config.inference == "distributed")
        check_part(encoder, spec.image, (config.prototype_height, config.prototype_width))
        self.encoder = encoder
        convolution = nn.Conv2d(encoder.channels, config.prototype_depth, kernel_size=1, bias=False)
        nn.init.xavier_normal_(convolution.weight, gain=nn.init.calculate_gain("sigmoid"))
        self.addon = nn.Sequential(convolution, nn.Sigmoid())
        depth = config.tree_depth(spec.num_classes)
        self.tree = Tree.complete(depth) if saved is None else Tree(saved["tree.asks"])
        shape = (config.prototype_depth, config.prototype_height, config.prototype_width)
        vectors = 0.5 + 0.1 * torch.randn(self.tree.nodes, *shape)
        # Any class may be below any node, until the leaves are known.
        owners = torch.ones(self.tree.nodes, spec.num_classes, dtype=torch.bool)
        self.prototypes: PresencePrototypes = PresencePrototypes(vectors, owners)
        size = (self.tree.leaves, spec.num_classes)
        if config.leaves == "trained":
            self.counts = nn.Parameter(torch.randn(size))
        else:
            self.register_buffer("counts", torch.zeros(size))
            self.register_buffer("counts_before", torch.zeros(size))
        self._update: Tensor | None = None
        self._steps = 1

    @classmethod
    def make_encoder(
        cls,
        config: ProtoTreeConfig,
        spec: ModelSpec,
        module: nn.Module | None,
        tensors: Mapping[str, Tensor] | None,
        load_weights: bool,
    ) -> Encoder:
        """Make an encoder of which only the map is used; refuse one whose map is too small for parts."""
        return build_map_encoder(config, spec.image, module, load_weights)

    # image → latents → presence of parts → paths → scores

    def encode(self, images: Tensor) -> Tensor:
        """Return the encoder's map (B, D', H, W)."""
        return self.encoder.map(self.encoder.features(self.normalize(images)))

    def refine(self, encoded: Tensor) -> Tensor:
        """Return z = f(x), (B, D, H, W)."""
        latents: Tensor = self.addon(encoded)
        return latents

    def head(self, latents: Tensor) -> Output:
        """Compute the presence of each prototype (B, P) and the probability of each class (B, C)."""
        with full_precision(latents):
            comparison = self.prototypes(latents)
            present, distances = comparison.similarities, comparison.extras["distances"]
            if self.config.log_probabilities:
                log_paths = self.tree.paths(-distances, log_absence(distances), log=True)
                log_mixture = torch.logsumexp(log_paths[:, :, None] + self.counts.log_softmax(1), dim=1)
                paths, mixture = log_paths.exp(), log_mixture.exp()
                extras = {
                    "paths": paths,
                    "mixture": mixture,
                    "log_paths": log_paths,
                    "log_mixture": log_mixture,
                }
            else:
                paths = self.tree.paths(present, 1 - present)
                mixture = paths @ self.counts.softmax(1)
                extras = {"paths": paths, "mixture": mixture}
            scores = mixture
            if not self.training and self.config.inference != "distributed":
                extras["leaf"] = self._leaf(self.config.inference, present, paths)
                scores = self.counts.softmax(1)[extras["leaf"]]
            return Output(scores, present, latents, extras)

    def _leaf(self, inference: str, present: Tensor, paths: Tensor) -> Tensor:
        """Return the leaf (B,) that classifies: the most probable one, or the one that is reached greedily."""
        return paths.argmax(dim=1) if inference == "sample_max" else self.tree.greedy(present)

    def evidence(self, output: Output, classes: Tensor) -> Evidence:
        """Return the contributions π_l(x) σ(c_l)_c, one per leaf, or that of the only leaf that classifies."""
        weights = self.counts.softmax(1).T[classes]  # (B, L)
        paths = output.extras["paths"]
        contributions = paths * weights
        if (leaf := output.extras.get("leaf")) is not None:
            contributions = torch.zeros_like(weights).scatter(
                1, leaf[:, None], weights.gather(1, leaf[:, None])
            )
        reasons = Paths(self.tree.ancestors, self.tree.present)
        bias = contributions.new_zeros(classes.shape[0])
        return Evidence(contributions, bias, reasons.last, weights, similarities=paths, paths=reasons)

    # training

    def loss(self, output: Output, labels: Tensor) -> dict[str, Tensor]:
        """Compute the negative log-likelihood of the mixture of all leaves, for every kind of inference."""
        return {"nll": weighted_mean(-self._log_likelihood(output, labels), labels, self.class_weights)}

    def _log_likelihood(self, output: Output, labels: Tensor) -> Tensor:
        if self.config.log_probabilities:
            return output.extras["log_mixture"].gather(1, labels[:, None])[:, 0]
        likelihood = output.extras["mixture"].gather(1, labels[:, None])[:, 0]
        return likelihood.clamp_min(torch.finfo(likelihood.dtype).tiny).log()  # σ(c) can be exactly 0

    def before_step(self, step: TrainingStep) -> None:
        """Store c_old at the start of an epoch, and B, its number of batches."""
        if self.config.leaves == "trained":
            return
        if step.first:
            self.counts_before.copy_(self.counts)
        if step.micro == 0:
            self._update = None
        self._steps = step.steps

    def update_without_grad(self, output: Output, labels: Tensor) -> None:
        """Add Σ_x π(x) · σ(c) ⊙ y / ŷ of a batch, over all processes."""
        if self.config.leaves == "trained":
            return
        log = self.config.log_probabilities
        log_paths = output.extras["log_paths"] if log else output.extras["paths"].log()
        log_leaves = self.counts.log_softmax(1).T[labels]  # (B, L)
        # The share of each leaf in the likelihood of an image's class; the shares of an image sum to 1.
        shares = (log_paths + log_leaves - self._log_likelihood(output, labels)[:, None]).exp()
        if log and self.config.variant == "released":
            shares = shares * math.e  # the released root has the log-probability 1, which is e
        if self.class_weights is not None:
            shares = shares * self.class_weights.to(shares)[labels][:, None]
        update = shares.T @ F.one_hot(labels, self.spec.num_classes).to(shares)
        if world() > 1:
            dist.all_reduce(update)
        self._update = update if self._update is None else self._update + update

    def after_step(self) -> None:
        """Apply eq. 3 to the sums of `update_without_grad` since the last step."""
        if self._update is not None:
            self.counts.copy_((self.counts - self.counts_before / self._steps).relu() + self._update)
            self._update = None

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        """Return the parameters of encoder, its free layer if any, add-on, prototypes, and trained leaves."""
        free, named = self.config.free_layer, list(self.encoder.named_parameters())
        groups: dict[str, list[nn.Parameter]] = {
            "encoder": [
                parameter for name, parameter in named if free is None or f".{free}." not in f".{name}"
            ],
            "free": [
                parameter for name, parameter in named if free is not None and f".{free}." in f".{name}"
            ],
            "addon": list(self.addon.parameters()),
            "prototypes": [self.prototypes.vectors],
            "leaves": [self.counts] if isinstance(self.counts, nn.Parameter) else [],
        }
        return {name: parameters for name, parameters in groups.items() if parameters}

    def recipe(self) -> Recipe:
        """Return the schedule: frozen encoder, all layers, pruning, projection (sections 4.3 and 5.1)."""
        return schedule(self.config, self.parameter_groups().keys())

    # pruning

    def assign_owners(self) -> None:
        """Let each node belong to the classes that are the most probable ones of some leaf below it."""
        best = F.one_hot(self.counts.argmax(dim=1), self.spec.num_classes).to(self.counts)  # (L, C)
        self.prototypes.owners.copy_((self.tree.below.to(best) @ best) > 0)

    @torch.no_grad()
    def prune(self, threshold: float) -> Tensor:
        """Cut every subtree in which no leaf has a class probability above the threshold (section 4.3).

        Its sibling replaces the parent. The released code never cuts the children of the root.

        Returns:
            The old numbers (P',) of the nodes that are kept, in their new order.
        """
        uninformative = self.counts.softmax(1).amax(dim=1) <= threshold
        shape, nodes, leaves = self.tree.pruned(uninformative, keep_root=self.config.variant == "released")
        self.tree.reshape(shape)
        self.keep(nodes)
        if isinstance(self.counts, nn.Parameter):
            self.counts = nn.Parameter(self.counts[leaves].clone())
        else:
            self.counts, self.counts_before = self.counts[leaves].clone(), self.counts_before[leaves].clone()
        return nodes

    # metrics and usage

    def extra_metrics(self, output: Output, labels: Tensor) -> dict[str, Tensor]:
        """Return accuracy and fidelity (agreement with this model) of the other kinds of inference (section 5.3)."""
        best, paths = self.counts.argmax(dim=1), output.extras["paths"]
        predictions = {
            "distributed": output.extras["mixture"].argmax(dim=1),
            "sample_max": best[self._leaf("sample_max", output.similarities, paths)],
            "greedy": best[self._leaf("greedy", output.similarities, paths)],
        }
        predicted, metrics = output.scores.argmax(dim=1), {}
        for name, classes in predictions.items():
            if name != self.config.inference:
                metrics[f"{name} accuracy"] = classes == labels
                metrics[f"{name} fidelity"] = classes == predicted
        return metrics

    def used_prototypes(self, output: Output) -> Tensor:
        """Return the prototypes (B, P) that are present on the most probable path of each image."""
        on_path = torch.zeros_like(self.tree.below.T)
        on_path = torch.cat(
            [on_path, on_path[:, :1]], dim=1
        )  # a column for the entries −1 at the end of a path
        on_path = on_path.scatter(1, self.tree.ancestors % on_path.shape[1], self.tree.present)[:, :-1]
        return on_path[output.extras["paths"].argmax(dim=1)]
