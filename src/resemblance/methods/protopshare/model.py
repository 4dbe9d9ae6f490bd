"""ProtoPShare: prototypical parts shared between classes (Rymarczyk et al., KDD 2021).

In a trained ProtoPNet each class has its own prototypes, many of which have the same meaning. ProtoPShare merges those
to which the training images X respond similarly, near or far in the latent space (data-dependent similarity):

    d(p_i, p_j) = 1 / Σ_{x ∈ X} (g_i(x) − g_j(x))²

Of two merged prototypes one is kept, for the classes of both, with the sum of their last-layer weights. Then the
network is fine-tuned, and each prototype is projected onto the images of all its classes:

    score_c = Σ_j w_cj g_j(z)        as in ProtoPNet; w starts at 1 for a prototype's classes, 0 for the others
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn

from resemblance.config.errors import UserError
from resemblance.config.model import ModelSpec
from resemblance.core.output import Output
from resemblance.core.recipe import Group, Recipe, Schedule, Stage
from resemblance.encoders.build import Encoder
from resemblance.methods.loading import load
from resemblance.methods.protopnet.model import ProtoPNet
from resemblance.methods.protopshare.config import STARTS, ProtoPShareConfig


class ProtoPShare(ProtoPNet):
    """A ProtoPNet with fewer prototypes, which classes share.

    After the action ``merge``, ``facts["members"]`` has for each prototype those that were merged into it, with the
    round; the first is the prototype itself. ``facts["merges"]`` is the number of rounds.

    Args:
        config: the configuration.
        spec: classes and images.
        encoder: computes the latent map.
        saved: a saved state, whose owners are used; by default each class owns ``prototypes_per_class``.

    Example:
        >>> from resemblance.config.image import ImageSpec
        >>> from resemblance.methods.registry import build
        >>> spec = ModelSpec(("zero", "one"), ImageSpec(28, 28, 1, (0.0,), (1.0,)))
        >>> model = build("protopshare", {"encoder": "small", "prototypes_per_class": 2}, spec)
        >>> model.merge(torch.tensor([0, 1, 0, 3]))  # the third becomes the first
        tensor([0, 1, 3])
        >>> model.prototypes.owners.tolist(), model.last.weight.tolist()
        ([[True, True], [True, False], [False, True]], [[1.0, 1.0, 0.0], [1.0, 0.0, 1.0]])
    """

    end_actions = {"merge": "resemblance.methods.protopshare.merging"}  # noqa: RUF012
    fact_types = {"merges": int, "members": list[list[dict[str, Any]]]}  # noqa: RUF012

    def __init__(
        self,
        config: ProtoPShareConfig,
        spec: ModelSpec,
        encoder: Encoder,
        saved: Mapping[str, Tensor] | None = None,
    ) -> None:
        super().__init__(config, spec, encoder, saved)
        self.config: ProtoPShareConfig = config
        with torch.no_grad():  # only evidence for classes: 1 for the prototype's classes, 0 for the others
            self.last.weight.copy_(self.prototypes.owners.T)

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
        """Make the model, from a trained ProtoPNet if ``config.start`` names one and there is no saved state.

        Raises:
            UserError: if that model is of another method, or has other options, classes or images.
        """
        if config.start is None or tensors is not None:
            return super().build(
                config,
                spec,
                module=module,
                tensors=tensors,
                load_weights=load_weights and config.start is None,
            )
        user_code = config.encoder if ":" in config.encoder else None
        start = load(Path(config.start).expanduser(), module=module, allow_import=user_code)
        if start.name not in STARTS:
            raise UserError(f"--start needs a {' or '.join(STARTS)}, but {config.start} holds a {start.name}")
        config.check_start(asdict(start.config))
        if start.spec != spec:
            raise UserError(f"{config.start} was made for other classes or images than these")
        assert isinstance(start, ProtoPNet)
        state = start.state_dict()
        model = cls(config, spec, start.encoder, state)
        model.load_state_dict(state)
        # Usage has to be counted again, after merging.
        model.prototypes.activations.fill_(-1)
        model.prototypes.own_activations.fill_(-1)
        return model

    # merging

    def responses(self, latents: Tensor) -> Tensor:
        """Return the values (B, P) by which prototypes are compared: g_j(x), or distances in the released code."""
        output: Output = self.head(latents)
        return output.extras["distances"] if self.config.variant == "released" else output.similarities

    def goal(self) -> int | None:
        """Return the number of prototypes to keep in the next round, by ``keep``; None if ``merge`` is set instead.

        Each of R rounds keeps the same share of the prototypes: the R-th root of the total share.
        """
        if self.config.keep is None:
            return None
        members = self.facts.get("members")
        total = sum(map(len, members)) if members else len(self.prototypes)
        final = self.config.keep if self.config.keep >= 1 else max(self.config.keep * total, 1)
        done = int(self.facts.get("merges", 0)) + 1
        count: float = total * (final / total) ** (done / self.config.rounds)
        return min(max(round(count), 1), len(self.prototypes))

    @torch.no_grad()
    def merge(self, into: Tensor) -> Tensor:
        """Merge each prototype into another: owners become the union, columns of the last layer add up.

        ProtoPNet's −0.5 to other classes would accumulate in the sum, so that a prototype of four classes would be
        evidence against each of them. So each column is first shifted to a mean of 0 over the other classes: all scores
        change by the same amount, and probabilities do not change. The released code adds the columns as they are.

        Args:
            into: (P,), index of the prototype that each becomes; its own index, if it is kept.

        Returns:
            (K,), indices of the prototypes that are kept.
        """
        owners, weight = self.prototypes.owners, self.last.weight
        into = into.to(owners.device)
        if self.config.variant == "paper":
            others = ~owners.T  # (C, P)
            weight = weight - (weight * others).sum(dim=0) / others.sum(dim=0).clamp_min(1)
        self.last.weight.copy_(torch.zeros_like(weight).index_add_(1, into, weight))
        owners.copy_(torch.zeros_like(owners, dtype=weight.dtype).index_add_(0, into, owners.to(weight)) > 0)
        kept = (into == torch.arange(len(into), device=into.device)).nonzero().flatten()
        self._join_members(into.tolist())
        self.keep(kept)
        return kept

    def _join_members(self, into: list[int]) -> None:
        """Move the members of merged prototypes; those that are merged for the first time get the round's number."""
        self.facts["merges"] = rounds = int(self.facts.get("merges", 0)) + 1
        if "members" not in self.facts:
            return
        members: list[list[dict[str, Any]]] = [list(entries) for entries in self.facts["members"]]
        for j, target in enumerate(into):
            if j != target:
                members[target] += [{**entry, "round": entry["round"] or rounds} for entry in members[j]]
        self.facts["members"] = members

    # training

    def recipe(self) -> Recipe:
        """Return ProtoPNet's stages, unless it is trained already, then rounds of merging and fine-tuning.

        Fine-tuning is joint training at the authors' rates. It starts with a new optimiser; later rounds continue
        with its state and its schedule.
        """
        config, trained = self.config, self.config.start is not None
        stages = [] if trained else [replace(stage, candidate=False) for stage in super().recipe().stages]
        joint = self.stage_groups()[1]
        if "encoder" in joint:  # now it is trained, so its rate is that of pretrained encoders
            joint["encoder"] = Group(1e-4, 1e-3)
        for number in range(1, config.rounds + 1):
            # Projecting a model again changes nothing if these are the images that it was projected onto.
            first = ("project", "merge") if trained and number == 1 else ("merge",)
            stages += [
                Stage(f"merge {number}", 0, {}, end=first, scales=False),
                Stage(
                    f"fine-tuning {number}",
                    config.tune_epochs,
                    joint,
                    schedule=Schedule("step", size=5, gamma=0.1),
                    fresh=number == 1,
                    end=("project",),
                ),
                Stage(f"shared last layer {number}", config.last_epochs, {"last": Group(1e-4)}, scales=False),
            ]
        return Recipe(tuple(stages), batch_size=60)

    def keep(self, indices: Tensor) -> None:
        """Drop prototypes, with their members."""
        members = self.facts.get("members")
        if members is not None and len(members) == len(self.prototypes):
            self.facts["members"] = [members[index] for index in indices.tolist()]
        super().keep(indices)
