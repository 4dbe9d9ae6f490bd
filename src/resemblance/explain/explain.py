"""Explain a model's scores for images by its prototypes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from resemblance.config.errors import UserError
from resemblance.core.output import Output
from resemblance.core.prototype_model import PrototypeModel
from resemblance.data.inputs import ModelInput, as_picture, as_tensor
from resemblance.encoders.probe import evaluating
from resemblance.explain.against.difference import Comparison
from resemblance.explain.context.black_box_answer import black_box_answers
from resemblance.explain.context.ranking import decides_alone, nearest_prototypes, ranking
from resemblance.explain.explanation import Explanation
from resemblance.explain.familiarity.answer_set import answer_sets
from resemblance.explain.familiarity.familiarity import familiarities
from resemblance.explain.prototype_view import prototype_views
from resemblance.explain.reason_maps import reason_maps
from resemblance.explain.request import Request, class_index
from resemblance.explain.score_reasons import PrototypeDetails, breakdown, pair_similarities, shown_reasons
from resemblance.explain.selection import best_reason, counter_classes, select
from resemblance.prototypes.gallery import Picture


def explain(
    model: PrototypeModel,
    image: Any,
    *,
    top: int | None = 5,
    prototypes: Sequence[int] | None = None,
    classes: Sequence[int | str] | None = None,
    against: int | str = "auto",
    label: int | str | None = None,
    name: str | None = None,
    maps: str = "auto",
    check_maps: bool = False,
    abstain_below: float | None = None,
    conformal: float | None = None,
) -> Explanation:
    """Explain the scores of one image.

    Args:
        model: a model with prototypes.
        image: a path, a PIL image, an array or a tensor; see `data.inputs.as_tensor`.
        top: the number of reasons to show; None for all. Reasons that contribute nothing are shown only if they are
            chosen by ``prototypes`` or if the method orders its reasons by similarity.
        prototypes: the prototypes to show instead, in this order, whatever class they belong to.
        classes: names or indices of the classes whose scores are explained; by default, the predicted class.
        against: what the score is compared with: the ``mean`` of the classes, the ``runner-up``, another class by name
            or index, or ``none`` for the plain score. Contributions then add up to the difference of the scores. A
            class is never compared with itself, but with the strongest other one. ``auto`` is the mean for logits with
            many negative weights, whose sum alone has no meaning, and the plain score for others.
        label: the name or index of the true class, if known.
        name: the image's name; by default its path.
        maps: the kind of map that each reason has: ``similarity``, ``gradient``, ``smoothgrad``, ``integrated`` or
            ``prp`` (see docs/relevance.md), or ``none``. ``auto`` is the similarity map, which costs nothing; for
            methods that compare whole images it is SmoothGrad, for the first ten reasons.
        check_maps: whether to remove the pixels that each map marks and measure what happens to the similarity, against
            random places; 30 forward passes per map.
        abstain_below: the quantile, in [0, 1], of the deciding similarity of correctly classified validation images
            below which the model abstains; None: it always predicts.
        conformal: the probability with which the set of classes ``answer_set`` holds the true class; None: no set.

    Raises:
        UserError: if the image cannot be read, a class or prototype does not exist, or the model has no evidence, no
            map of this kind, or no reference for abstention or sets.

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
    shown: dict[str, Any] = {"top": top, "prototypes": prototypes, "classes": classes, "against": against}
    shown |= {"maps": maps, "check_maps": check_maps, "abstain_below": abstain_below, "conformal": conformal}
    return explain_batch(model, [image], labels=labels, names=names, **shown)[0]


def explain_batch(
    model: PrototypeModel,
    images: Tensor | Sequence[Any],
    *,
    top: int | None = 5,
    prototypes: Sequence[int] | None = None,
    classes: Sequence[int | str] | None = None,
    against: int | str = "auto",
    labels: Sequence[int | str | None] | None = None,
    names: Sequence[str] | None = None,
    maps: str = "auto",
    check_maps: bool = False,
    abstain_below: float | None = None,
    conformal: float | None = None,
    batch_size: int = 16,
) -> list[Explanation]:
    """Explain many images, with one forward pass per batch, and those of the maps.

    Args:
        model: a model with prototypes.
        images: (B, C, H, W) in [0, 1], or a sequence of images as `explain` accepts them.
        top: as for `explain`.
        prototypes: as for `explain`, for every image.
        classes: as for `explain`, for every image.
        against: as for `explain`, for every image.
        labels: the true class of each image; None where it is not known.
        names: the name of each image.
        maps: as for `explain`.
        check_maps: as for `explain`.
        abstain_below: as for `explain`.
        conformal: as for `explain`.
        batch_size: images per forward pass.

    Raises:
        UserError: as `explain`.
    """
    request = Request.of(model, top, prototypes, classes, maps, check_maps, against, abstain_below, conformal)
    if batch_size < 1:
        raise UserError(f"batch_size must be at least 1, not {batch_size}")
    count = len(images)
    for values, kind in ((labels, "labels"), (names, "names")):
        if values is not None and len(values) != count:
            raise UserError(f"{len(values)} {kind} for {count} images")
    true_classes = [
        None if value is None else class_index(model, value) for value in labels or [None] * count
    ]
    explanations: list[Explanation] = []
    for start in range(0, count, batch_size):
        rows = range(start, min(start + batch_size, count))
        inputs = [
            as_tensor(images[i], model.spec.image, names[i] if names is not None else None) for i in rows
        ]
        batch = torch.stack([one.tensor for one in inputs])
        with torch.no_grad(), evaluating(model):
            output = model(batch.to(model.device))
            explanations += _explain_output(
                model, output, batch, request, [true_classes[i] for i in rows], inputs
            )
    return explanations


def check_finite(output: Output, inputs: Sequence[ModelInput]) -> None:
    """Refuse scores that are not finite.

    Args:
        output: a model's output.
        inputs: the images that it was computed from.

    Raises:
        UserError: if the scores of an image are not finite.
    """
    broken = (~output.finite).nonzero().flatten()
    if len(broken):
        raise UserError(
            f"{inputs[int(broken[0])].name}: the model's scores are not finite; its weights are broken"
        )


def _explain_output(
    model: PrototypeModel,
    output: Output,
    images: Tensor,
    request: Request,
    labels: list[int | None],
    inputs: list[ModelInput],
) -> list[Explanation]:
    scores = output.scores.float()
    check_finite(output, inputs)
    predictions = scores.argmax(dim=1)
    if request.classes is None:
        explained = [predictions]
    else:
        explained = [torch.full_like(predictions, index) for index in request.classes]
    compared = Comparison(model, output, request.against)
    selections = [
        select(model, output, classes, request.top, request.prototypes, compared) for classes in explained
    ]
    counters = counter_classes(scores, predictions, explained[0], labels)
    counter_selection = best_reason(model, output, counters, compared)

    rows = range(len(images))
    shown = (*selections, counter_selection)
    pairs = [(row, p) for row in rows for selection in shown for p in selection.prototypes(row)]
    pairs += [
        (row, p) for row in rows for selection in shown for path in selection.paths(row) for p, _ in path
    ]
    pairs = list(dict.fromkeys(pairs))
    alone = decides_alone(model, selections[0].evidence)
    ranked = nearest_prototypes(model.prototypes, output.similarities.float()) if alone else []
    needed = {p for _, p in pairs} | {p for row in ranked for p in row}
    views = {view.index: view for view in prototype_views(model, sorted(needed))}
    maps = reason_maps(model, output, images, pairs, shown, request)

    # Scores that are similarities without weights (KMEx) were not trained by a loss: their softmax has no meaning.
    logits = model.traits.score_kind == "logit" and selections[0].evidence.weights is not None
    probabilities = model.probabilities(scores).cpu().numpy() if logits else None
    familiar = familiarities(model, output, request.abstain_below)
    unanswered = model.abstains(output)
    abstained = [
        seen.abstains or (unanswered is not None and bool(unanswered[row]))
        for row, seen in enumerate(familiar)
    ]
    sets = answer_sets(model, output, request.conformal)
    predicted = [None if abstained[row] else int(predictions[row]) for row in rows]
    answers = black_box_answers(model.black_box_probabilities(output), predicted, model.spec.classes)
    scores_array = scores.cpu().numpy()
    details = PrototypeDetails(views, maps, dict(zip(pairs, pair_similarities(output, pairs), strict=True)))
    explanations = []
    for row in rows:
        counter = shown_reasons(counter_selection, row, details)
        explanations.append(
            Explanation(
                name=inputs[row].name,
                image=as_picture(images[row]),
                method=model.name,
                classes=model.spec.classes,
                scores=scores_array[row],
                probabilities=None if probabilities is None else probabilities[row],
                score_kind=model.traits.score_kind,
                order=model.traits.order,
                prediction=int(predictions[row]),
                breakdowns=tuple(
                    breakdown(model, selection, row, scores_array[row], details) for selection in selections
                ),
                label=labels[row],
                counter=counter[0] if counter else None,
                counter_class=int(counters[row]),
                chosen=request.prototypes is not None,
                words=model.traits.words,
                abstained=abstained[row],
                preparation=inputs[row].preparation,
                maps=request.maps,
                ranking=ranking(ranked[row], output.similarities[row].float(), views, model.prototypes.owners)
                if ranked
                else None,
                familiarity=familiar[row],
                answer_set=sets[row],
                black_box=answers[row],
                original=None if (picture := inputs[row].original) is None else Picture.from_pixels(picture),
            )
        )
    return explanations
