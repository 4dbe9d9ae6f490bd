"""Describe an exported graph as data: its input, its outputs, its reasons, and what similarities are read against."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from resemblance.config.image import ImageSpec
from resemblance.core.prototype_model import PrototypeModel
from resemblance.core.reference import ENOUGH, LEAST, USUAL
from resemblance.explain.prototype_view import PrototypeView, prototype_views
from resemblance.explain.rounding import decimals_for, number_text
from resemblance.explain.score_breakdown import TOLERANCE
from resemblance.explain.text import SCORE_WORDS
from resemblance.export.answer_graph import AnswerGraph
from resemblance.export.onnx_check import Agreement
from resemblance.export.onnx_file import BATCH, INPUT
from resemblance.version import __version__

FORMAT = 1
ABOUT = {
    "scores": "the score of each class; the largest is the prediction",
    "probabilities": "the probabilities of the classes",
    "prediction": "the index of the predicted class",
    "similarities": "the similarity to each prototype",
    "contributions": "what each reason adds to the score of the predicted class; with the bias they sum to it",
    "bias": "the part of the score that belongs to no reason",
    "reason_similarities": "the similarity shown for each reason, where it is not that of its prototype",
    "deciding_similarity": "the similarity on which the prediction rests, to be read against the reference",
    "deciding_prototype": "the prototype of the deciding similarity",
    "abstains": "whether the model makes no prediction",
    "original_probabilities": "the probabilities by the classifier that the model was converted from",
    "maps": "the similarity of each place of the image to each prototype",
}


def input_description(spec: ImageSpec) -> dict[str, Any]:
    """Return how a picture becomes the graph's input.

    Example:
        >>> input_description(ImageSpec(28, 28, 1, (0.5,), (0.5,)))["shape"]
        ['batch', 1, 28, 28]
    """
    return {
        "name": INPUT,
        "shape": [BATCH, spec.channels, spec.height, spec.width],
        "values": "float32 in [0, 1]; the graph subtracts the mean and divides by the deviation itself",
        **asdict(spec),
    }


def describe(graph: AnswerGraph, agreement: Agreement, pictures: dict[int, str]) -> dict[str, Any]:
    """Return the description of a graph, which JSON can hold.

    Args:
        graph: the model's answer.
        agreement: the comparison of the graph with the model.
        pictures: the file name of each prototype's picture, by prototype.
    """
    model = graph.model
    views = prototype_views(model)
    logits = model.traits.score_kind == "logit"
    return {
        "format": FORMAT,
        "made_by": f"resemblance {__version__}",
        "method": model.name,
        "classes": list(model.spec.classes),
        "input": input_description(model.spec.image),
        "outputs": {
            name: ABOUT[name.partition("_")[0] if name.startswith("maps") else name] for name in graph.names
        },
        "score": SCORE_WORDS[model.traits.score_kind],
        "score_kind": model.traits.score_kind,
        # Scores that are similarities without weights were not trained by a loss: their softmax has no meaning.
        "show_probabilities": logits and graph.weighted,
        "order": model.traits.order,
        "similarity": similarity_name(graph),
        "similarity_sign": similarity_sign(model),
        "maps": [asdict(entry) for entry in graph.maps],
        "reasons": [
            _reason(views[prototype], graph.steps(number))
            for number, prototype in enumerate(graph.reasons.tolist())
        ],
        "prototypes": [_prototype(view, pictures) for view in views],
        "references": references(model),
        "sum_tolerance": TOLERANCE,
        "checked": {
            "with": agreement.software,
            "images": agreement.images,
            "largest_relative_differences": dict(agreement.differences),
        },
    }


def similarity_name(graph: AnswerGraph) -> str:
    """Return the name of the deciding similarity."""
    if graph.paths is not None:
        return "presence of the last part"
    traits = graph.model.traits
    return "distance²" if traits.order == "similarity" else traits.words.similarity


def references(model: PrototypeModel) -> list[dict[str, Any]]:
    """Return what the deciding similarity of an image predicted as each class is read against, (C,).

    ``least`` is the similarity below which an image resembles nothing that the model knows, and ``usual`` the range of
    most known images; both are None where there are no, or too few, images to judge.
    """
    reference, sign = model.reference, similarity_sign(model)
    entries = []
    for index, name in enumerate(model.spec.classes):
        known = None if reference is None else reference.of(index)
        least = usual = None
        if known is None:
            text = "no reference is stored to compare it with"
        elif not known.enough:
            text = f"too few images to judge it: {known.images}, where {ENOUGH} are needed"
        else:
            least, usual = known.at(LEAST), [known.at(quantile) for quantile in USUAL]
            low, high = sorted(sign * end for end in usual)
            of = "" if reference is None or known is reference.whole else f" of {name}"
            decimals = max(3, decimals_for([low, high]))
            ends = f"{number_text(low, decimals)} to {number_text(high, decimals)}"
            text = f"images{of} classified correctly: {ends}"
        entries.append(
            {"images": 0 if known is None else known.images, "least": least, "usual": usual, "text": text}
        )
    return entries


def similarity_sign(model: PrototypeModel) -> int:
    """Return −1 for a model whose similarities are negative distances, which are shown as distances; otherwise 1."""
    return -1 if model.traits.order == "similarity" else 1


def _reason(view: PrototypeView, steps: list[tuple[int, bool]]) -> dict[str, Any]:
    """Return a reason: its prototype, its path if it has one, and both in words."""
    origin = f", {view.origin}" if view.origin else ""
    text = " ".join(filter(None, [view.title, view.of_classes])) + origin
    if steps:
        path = ", ".join(f"{'has' if present else 'lacks'} {prototype}" for prototype, present in steps)
        text = f"the image {path}; {text}"
    return {"prototype": view.index, "steps": [list(step) for step in steps], "text": text}


def _prototype(view: PrototypeView, pictures: dict[int, str]) -> dict[str, Any]:
    return {
        "title": view.title,
        "classes": list(view.classes) if view.words.owned else [],
        "source": view.source_name,
        "picture": pictures.get(view.index),
        "place": None if view.place is None or view.decoded else list(view.place),
    }
