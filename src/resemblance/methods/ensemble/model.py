"""Several models that answer together, as one model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.transforms.v2 import functional as vision

from resemblance.config.errors import UserError
from resemblance.config.image import ImageSpec
from resemblance.config.model import ModelSpec
from resemblance.config.words import PROTOTYPES
from resemblance.core.classifier import Classifier
from resemblance.core.output import Evidence, Output
from resemblance.core.prototype_model import PrototypeModel
from resemblance.core.traits import ScoreKind, Traits
from resemblance.methods.base import Method, PrototypeMethod
from resemblance.methods.ensemble.config import EnsembleConfig
from resemblance.methods.ensemble.evidence import joined, shifted
from resemblance.methods.ensemble.prototypes import JointPrototypes
from resemblance.methods.ensemble.rule import additive, combine, rule_for, share
from resemblance.methods.registry import build_described
from resemblance.prototypes.gallery import Gallery, GalleryItem


class JointLatents(tuple[Any, ...]):
    """The latents of each member."""

    def float(self) -> JointLatents:
        """Convert to float32."""
        return JointLatents(part.float() for part in self)


class Ensemble(Method):
    """Models of the same classes that answer as one; of any methods, image sizes and channels.

    Images have the largest size of the members, and are in colour if any member reads colour; for the others they are
    scaled down or converted to grey. Use `make_ensemble` to make one.

    Args:
        config: method, configuration and spec of each member.
        spec: the classes of the first member, and the images.
        members: two or more; classes may be in any order.

    Example:
        >>> import resemblance
        >>> image = resemblance.ImageSpec(28, 28, 1, (0.0,), (1.0,))
        >>> spec = resemblance.ModelSpec(("zero", "one"), image)
        >>> models = [resemblance.build("prototypedl", {}, spec).eval() for _ in range(2)]
        >>> both, images = make_ensemble(models), torch.rand(3, 1, 28, 28)
        >>> total = models[0](images).scores + models[1](images).scores
        >>> torch.equal(both(images).scores, total), both.explain(images[0]).breakdown.adds_up
        (True, True)
    """

    def __init__(self, config: EnsembleConfig, spec: ModelSpec, members: Sequence[Classifier]) -> None:
        super().__init__(config, spec)
        self.members = nn.ModuleList(members)
        self.kinds = tuple(model.traits.score_kind for model in members)
        self.rule = rule_for(self.kinds)
        kind: ScoreKind = "logit" if self.rule == "sum of the logits" else "probability"
        words = {model.traits.words for model in members if isinstance(model, PrototypeModel)}
        self.traits = Traits(
            score_kind=kind,
            words=words.pop() if len(words) == 1 else PROTOTYPES,
            differentiable=all(model.traits.differentiable for model in members),
        )
        # The index of each of the ensemble's classes in each member.
        self.columns = [torch.tensor([m.spec.classes.index(name) for name in spec.classes]) for m in members]

    @classmethod
    def build(
        cls,
        config: EnsembleConfig,
        spec: ModelSpec,
        *,
        module: nn.Module | None = None,
        tensors: Mapping[str, Tensor] | None = None,
        load_weights: bool = True,
    ) -> Ensemble:
        """Make the members from their own configurations, and the ensemble from them."""
        members = []
        for number, entry in enumerate(config.members):
            prefix = f"members.{number}."
            own = {
                name.removeprefix(prefix): t for name, t in (tensors or {}).items() if name.startswith(prefix)
            }
            members.append(
                build_described(entry, module=module, tensors=own or None, load_weights=load_weights)
            )
        return ensemble_class(members)(config, spec, members)

    def latents(self, images: Tensor) -> Any:
        """Return each member's latents."""
        return JointLatents(
            model.latents(adapted) for model, adapted in zip(self.models, self.adapted(images), strict=True)
        )

    def head(self, latents: Any) -> Output:
        """Compute each member's output and combine them."""
        return self.combined([m.head(part) for m, part in zip(self.models, latents, strict=True)])

    def forward(self, images: Tensor) -> Output:
        """Classify images (B, C, H, W) in [0, 1]."""
        return self.combined(self.member_outputs(self.adapted(images)))

    def embed(self, latents: Any) -> Tensor:
        """Return the members' embeddings, concatenated."""
        return torch.cat([m.embed(part) for m, part in zip(self.models, latents, strict=True)], dim=1)

    @property
    def models(self) -> list[Classifier]:
        """The members."""
        return [model for model in self.members if isinstance(model, Classifier)]

    def adapted(self, images: Tensor) -> list[Tensor]:
        """Return the images as each member reads them."""
        adapted = []
        for model in self.models:
            spec, resized = model.spec.image, images
            if spec.size != tuple(images.shape[2:]):
                resized = F.interpolate(
                    resized, spec.size, mode="bilinear", antialias=True, align_corners=False
                )
            if spec.channels < resized.shape[1]:
                resized = vision.rgb_to_grayscale(resized, spec.channels)
            adapted.append(resized.expand(-1, spec.channels, -1, -1))
        return adapted

    def member_outputs(self, images: Sequence[Tensor]) -> list[Output]:
        """Return each member's output, with its classes in its own order, for images of that member's size."""
        return [model(batch.to(model.device)) for model, batch in zip(self.models, images, strict=True)]

    def combined(self, outputs: Sequence[Output]) -> Output:
        """Combine the outputs of the members into that of the ensemble, on the device of the first."""
        here = outputs[0].scores.device
        pairs = zip(outputs, self.columns, strict=True)
        scores = combine([output.scores.to(here)[:, order.to(here)] for output, order in pairs], self.kinds)
        similarities = torch.cat([output.similarities.to(here) for output in outputs], dim=1)
        latents: Any = JointLatents(output.latents for output in outputs)
        return Output(scores, similarities, latents, members=tuple(outputs))

    def loss(self, output: Output, labels: Tensor) -> dict[str, Tensor]:
        """Refuse: an ensemble is made of trained models.

        Raises:
            UserError: always.
        """
        raise UserError("an ensemble is not trained: train its members")


class PrototypeEnsemble(Ensemble, PrototypeMethod):
    """An ensemble of models with prototypes, whose reasons are all those of its members.

    Contributions would not add up if the softmax of some member's logits were averaged with other members'
    probabilities: these ensembles do not explain.
    """

    prototypes: JointPrototypes

    def __init__(self, config: EnsembleConfig, spec: ModelSpec, members: Sequence[Classifier]) -> None:
        super().__init__(config, spec, members)
        models = [model for model in members if isinstance(model, PrototypeModel)]
        self.prototypes = JointPrototypes([model.prototypes for model in models], self.columns)
        self.traits = replace(self.traits, maps=any(model.traits.maps for model in models))
        items = [_pictures(model) for model in models]
        if any(model.gallery is not None for model in models):
            self.gallery = Gallery(item for part in items for item in part)

    def evidence(self, output: Output, classes: Tensor) -> Evidence:
        """Return the members' evidence, concatenated, and scaled as their scores are."""
        parts, bias = [], output.scores.new_zeros(classes.shape[0])
        first, here = 0, output.scores.device
        for model, own, order, kind in zip(
            self.models, output.members, self.columns, self.kinds, strict=True
        ):
            assert isinstance(model, PrototypeModel)
            evidence = model.evidence(own, order.to(own.scores.device)[classes.to(own.scores.device)])
            factor, constant = share(own.scores, kind, len(self.models), self.rule)
            similarities = evidence.similarities
            if similarities is None:
                similarities = own.similarities[:, evidence.prototypes]
            weights = evidence.weights
            if weights is not None:
                weights = (weights * factor[:, None]).to(here)
            part = Evidence(
                (evidence.contributions * factor[:, None]).to(here),
                evidence.bias.to(here),
                evidence.prototypes.to(here) + first,
                weights,
                similarities.to(here),
                shifted(evidence.paths, first, here),
            )
            parts.append(part)
            bias = bias + part.bias * factor.to(here) + constant.to(here)
            first += len(model.prototypes)
        return joined(parts, bias)

    def abstains(self, output: Output) -> Tensor | None:
        """Return where every member abstains, (B,); None if some member never does."""
        abstaining = []
        for model, own in zip(self.models, output.members, strict=True):
            rows = model.abstains(own) if isinstance(model, PrototypeModel) else None
            if rows is None:
                return None
            abstaining.append(rows.to(output.scores.device))
        return torch.stack(abstaining).all(dim=0)


def make_ensemble(models: Sequence[Classifier]) -> Ensemble:
    """Make an ensemble of trained models; it has the classes of the first, in the same order.

    Args:
        models: two or more; they become its members.

    Returns:
        A `PrototypeEnsemble`, which explains, if all members have prototypes and their contributions add up.

    Raises:
        UserError: if there are fewer than two, or their classes differ.
    """
    if len(models) < 2:
        raise UserError(f"an ensemble needs at least 2 models, not {len(models)}")
    for number, model in enumerate(models[1:], 2):
        _check_classes(models[0].spec.classes, model.spec.classes, number)
    entries = [
        {"method": model.name, "config": asdict(model.config), "spec": model.spec.to_dict()}
        for model in models
    ]
    spec = ModelSpec(models[0].spec.classes, _largest([model.spec.image for model in models]))
    return ensemble_class(models)(EnsembleConfig(members=entries), spec, models).eval()


def ensemble_class(models: Sequence[Classifier]) -> type[Ensemble]:
    """Return the class for these members: the one that explains, if that is possible."""
    explains = all(isinstance(model, PrototypeModel) for model in models)
    kinds = [model.traits.score_kind for model in models]
    return PrototypeEnsemble if explains and additive(kinds) else Ensemble


def _largest(images: Sequence[ImageSpec]) -> ImageSpec:
    """Return a specification with the largest size and number of channels; the members normalise by themselves."""
    prepared = {(image.resize, image.crop_share, image.interpolation) for image in images}
    windows = {image.window for image in images}
    if len(windows) > 1:
        shown = " and ".join("none" if one is None else f"{one[0]:g},{one[1]:g}" for one in windows)
        raise UserError(
            f"the models of an ensemble must read their images by the same --window, not by {shown}"
        )
    if len(prepared) > 1:
        listed = ", ".join(sorted(f"{resize} {share:g} {filter}" for resize, share, filter in prepared))
        raise UserError(
            f"the models of an ensemble must prepare their images in the same way, not by {listed}; train them with "
            "the same --resize, --crop-share and --interpolation"
        )
    channels = max(image.channels for image in images)
    height, width = max(image.height for image in images), max(image.width for image in images)
    padding = next(image.padding for image in images if image.channels == channels)
    zeros, ones = (0.0,) * channels, (1.0,) * channels
    return ImageSpec(
        height,
        width,
        channels,
        zeros,
        ones,
        *prepared.pop(),
        padding=padding,
        window=windows.pop(),
        draft=all(image.draft for image in images),
    )


def _pictures(model: PrototypeModel) -> Sequence[GalleryItem]:
    return model.gallery if model.gallery is not None else [GalleryItem()] * len(model.prototypes)


def _check_classes(first: tuple[str, ...], other: tuple[str, ...], number: int) -> None:
    parts = []
    for who, names in (("the first", set(first) - set(other)), (f"model {number}", set(other) - set(first))):
        if names:
            more = f" and {len(names) - 3} more" if len(names) > 3 else ""
            parts.append(f"only {who} has {', '.join(sorted(names)[:3])}{more}")
    if parts:
        raise UserError(f"the models of an ensemble must have the same classes; {'; '.join(parts)}")
