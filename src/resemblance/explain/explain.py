"""Read explanations off the tensors that a model computed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from resemblance.config.errors import UserError
from resemblance.core.output import Output
from resemblance.core.prototype_model import PrototypeModel
from resemblance.data.inputs import as_picture, as_tensor
from resemblance.encoders.probe import evaluating
from resemblance.explain.explanation import Explanation
from resemblance.explain.prototype_view import PrototypeView, prototype_views
from resemblance.explain.reason import Reason, Step
from resemblance.explain.request import Request, class_index
from resemblance.explain.score_breakdown import ScoreBreakdown
from resemblance.explain.selection import Selection, best_reason, counter_classes, select
from resemblance.prototypes.maps import percentile_boxes, upsample


def explain(
    model: PrototypeModel,
    image: Any,
    *,
    top: int | None = 10,
    prototypes: Sequence[int] | None = None,
    classes: Sequence[int | str] | None = None,
    label: int | str | None = None,
    name: str | None = None,
) -> Explanation:
    """Explain the scores of one image.

    Args:
        model: any model that has evidence.
        image: a path, a PIL image, an array or a tensor; see `data.inputs.as_tensor`.
        top: how many reasons to show; None for all. Reasons that contribute nothing are never shown unless
            chosen, or where the method orders its reasons by similarity.
        prototypes: show these instead, in this order, whatever class they belong to.
        classes: explain the scores of these classes, names or indices, instead of the predicted one's.
        label: the true class, name or index, where it is known.
        name: the image's name; by default its path.

    Raises:
        UserError: for an unreadable image, an unknown class or prototype, or a model without evidence.

    Example:
        >>> from resemblance.config.image import ImageSpec
        >>> from resemblance.config.model import ModelSpec
        >>> from resemblance.methods.registry import build
        >>> spec = ModelSpec(("zero", "one"), ImageSpec(28, 28, 1, (0.0,), (1.0,)))
        >>> model = build("protopnet", {"encoder": "small"}, spec)
        >>> explanation = model.explain(torch.rand(1, 28, 28), top=3, label="one")
        >>> len(explanation.reasons), explanation.breakdown.others, explanation.breakdown.adds_up
        (3, 17, True)
    """
    labels = None if label is None else [label]
    names = None if name is None else [name]
    explanations = explain_batch(
        model, [image], top=top, prototypes=prototypes, classes=classes, labels=labels, names=names
    )
    return explanations[0]


def explain_batch(
    model: PrototypeModel,
    images: Tensor | Sequence[Any],
    *,
    top: int | None = 10,
    prototypes: Sequence[int] | None = None,
    classes: Sequence[int | str] | None = None,
    labels: Sequence[int | str] | None = None,
    names: Sequence[str] | None = None,
    batch_size: int = 16,
) -> list[Explanation]:
    """Explain many images, ``batch_size`` at a time with one forward pass each.

    Args:
        model: any model that has evidence.
        images: (B, C, H, W) in [0, 1], or a sequence of what `explain` takes.
        top: see `explain`; also ``prototypes`` and ``classes``.
        prototypes: shown for every image.
        classes: explained for every image.
        labels: the true class of each image.
        names: the name of each image.
        batch_size: images per forward pass.

    Raises:
        UserError: as `explain`.
    """
    request = Request.of(model, top, prototypes, classes)
    count = len(images)
    for given, what in ((labels, "labels"), (names, "names")):
        if given is not None and len(given) != count:
            raise UserError(f"{len(given)} {what} for {count} images")
    truth = [None] * count if labels is None else [class_index(model, value) for value in labels]
    explanations: list[Explanation] = []
    for start in range(0, count, batch_size):
        rows = range(start, min(start + batch_size, count))
        read = [as_tensor(images[i], model.spec.image, names[i] if names is not None else None) for i in rows]
        batch = torch.stack([tensor for tensor, _ in read])
        with torch.no_grad(), evaluating(model):
            output = model(batch.to(model.device))
            explanations += _explain_output(
                model, output, batch, request, [truth[i] for i in rows], [name for _, name in read]
            )
    return explanations


def _explain_output(
    model: PrototypeModel,
    output: Output,
    images: Tensor,
    request: Request,
    labels: list[int | None],
    names: list[str],
) -> list[Explanation]:
    scores = output.scores.float()
    broken = (~scores.isfinite().all(dim=1)).nonzero().flatten()
    if len(broken):
        raise UserError(f"{names[int(broken[0])]}: the model's scores are not finite; its weights are broken")
    predictions = scores.argmax(dim=1)
    if request.classes is None:
        wanted = [predictions]
    else:
        wanted = [torch.full_like(predictions, index) for index in request.classes]
    taken = [select(model, output, classes, request.top, request.prototypes) for classes in wanted]
    counters = counter_classes(scores, predictions, wanted[0], labels)
    beside = best_reason(model, output, counters)

    rows = range(len(images))
    pairs = [(row, p) for row in rows for part in (*taken, beside) for p in part.prototypes(row)]
    pairs += [(row, p) for row in rows for part in (*taken, beside) for way in part.ways(row) for p, _ in way]
    pairs = list(dict.fromkeys(pairs))
    views = {view.index: view for view in prototype_views(model, sorted({p for _, p in pairs}))}
    heats = _heats(model, output, pairs, (images.shape[2], images.shape[3]))

    # A nearest prototype's similarity (KMEx) has no weights: no loss has made its softmax mean anything.
    logits = model.traits.score_kind == "logit" and taken[0].evidence.weights is not None
    probabilities = model.probabilities(scores).cpu().numpy() if logits else None
    abstains = model.abstains(output)
    plain = scores.cpu().numpy()
    known = _Known(views, heats, dict(zip(pairs, _similarities(output, pairs), strict=True)))
    explanations = []
    for row in rows:
        counter = _reasons(beside, row, known)
        explanations.append(
            Explanation(
                name=names[row],
                image=as_picture(images[row]),
                method=model.name,
                classes=model.spec.classes,
                scores=plain[row],
                probabilities=None if probabilities is None else probabilities[row],
                score_kind=model.traits.score_kind,
                order=model.traits.order,
                prediction=int(predictions[row]),
                breakdowns=tuple(_breakdown(model, part, row, plain[row], known) for part in taken),
                label=labels[row],
                counter=counter[0] if counter else None,
                counter_class=int(counters[row]),
                chosen=request.prototypes is not None,
                words=model.traits.words,
                abstained=abstains is not None and bool(abstains[row]),
            )
        )
    return explanations


@dataclass(frozen=True)
class _Known:
    """What is known of the prototypes that are shown, by image and prototype."""

    views: dict[int, PrototypeView]
    heats: dict[tuple[int, int], Any]
    similarities: dict[tuple[int, int], float]

    def place(self, row: int, prototype: int) -> tuple[Any, Any]:
        """Return map and box."""
        heat_and_box: tuple[Any, Any] = self.heats.get((row, prototype), (None, None))
        return heat_and_box

    def steps(self, row: int, way: list[tuple[int, bool]]) -> tuple[Step, ...]:
        """Return the questions of a path: a prototype's similarity is the probability that it is there."""
        there = [self.similarities[row, prototype] for prototype, _ in way]
        return tuple(
            Step(self.views[p], present, value if present else 1 - value, *self.place(row, p))
            for (p, present), value in zip(way, there, strict=True)
        )


def _similarities(output: Output, pairs: list[tuple[int, int]]) -> list[float]:
    """Return the similarities of pairs of image and prototype."""
    if not pairs:
        return []
    index = torch.tensor(pairs, device=output.similarities.device)
    values: list[float] = output.similarities.float()[index[:, 0], index[:, 1]].tolist()
    return values


def _heats(
    model: PrototypeModel, output: Output, pairs: list[tuple[int, int]], size: tuple[int, int]
) -> dict[tuple[int, int], tuple[np.ndarray[Any, np.dtype[np.float32]], tuple[int, int, int, int]]]:
    """Return upsampled similarity maps and their boxes for the pairs of image and prototype that are shown."""
    heats: dict[tuple[int, int], Any] = {}
    for first, layer, latents in model.prototypes.components(output.latents):
        own = [(row, p) for row, p in pairs if first <= p < first + len(layer)]
        if not layer.has_maps or not own:
            continue
        rows, numbers = torch.tensor(own, device=model.device).T
        which, column = (numbers - first).unique(return_inverse=True)
        chosen = layer.maps(latents, which).float()[rows, column]
        large = upsample(chosen, size)
        cells, grid = chosen.flatten(1).argmax(dim=1), (chosen.shape[1], chosen.shape[2])
        patches = layer.patch_boxes(cells, grid, size)
        boxes = (percentile_boxes(large) if patches is None else patches).tolist()
        heats |= {
            pair: (heat, tuple(box)) for pair, heat, box in zip(own, large.cpu().numpy(), boxes, strict=True)
        }
    return heats


def _breakdown(
    model: PrototypeModel,
    taken: Selection,
    row: int,
    scores: np.ndarray[Any, np.dtype[np.float32]],
    known: _Known,
) -> ScoreBreakdown:
    contributions = taken.evidence.contributions[row].double()
    rest = torch.ones_like(contributions, dtype=torch.bool)
    rest[taken.shown[row]] = False
    others = contributions[rest]
    index = int(taken.classes[row])
    return ScoreBreakdown(
        class_index=index,
        class_name=model.spec.classes[index],
        score=float(scores[index]),
        reasons=tuple(_reasons(taken, row, known)),
        others=len(others),
        others_for=float(others.clamp_min(0).sum()),
        others_against=float(others.clamp_max(0).sum()),
        bias=float(taken.evidence.bias[row]),
    )


def _reasons(taken: Selection, row: int, known: _Known) -> list[Reason]:
    evidence, shown = taken.evidence, taken.shown[row]
    weights = [None] * len(shown) if evidence.weights is None else evidence.weights[row, shown].tolist()
    return [
        Reason(
            known.views[prototype],
            similarity,
            contribution,
            weight,
            *known.place(row, prototype),
            steps=known.steps(row, way),
        )
        for prototype, similarity, contribution, weight, way in zip(
            taken.prototypes(row),
            taken.similarities[row, shown].tolist(),
            evidence.contributions[row, shown].tolist(),
            weights,
            taken.ways(row),
            strict=True,
        )
    ]
