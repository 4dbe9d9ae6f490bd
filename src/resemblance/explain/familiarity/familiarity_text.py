"""The words about how familiar an image is, for the terminal, figures and pages."""

from __future__ import annotations

from resemblance.core.reference import ENOUGH
from resemblance.explain.explanation_data import ExplanationData
from resemblance.explain.rounding import NO_BREAK, decimals_for, number_text
from resemblance.printing.characters import capitalised

NOTHING_KNOWN = "resembles nothing the model knows"


def deciding_word(explanation: ExplanationData) -> str:
    """Return the name of the similarity on which the prediction rests."""
    if explanation.paths:
        return "presence of the last part"
    return "distance²" if explanation.order == "similarity" else explanation.words.similarity


def first_words(explanation: ExplanationData) -> str:
    """Return what is said before the prediction: that the image resembles nothing known; else nothing."""
    return f"{NOTHING_KNOWN}; " if explanation.familiarity.unfamiliar else ""


def abstention_text(explanation: ExplanationData) -> str:
    """Return why there is no prediction."""
    seen = explanation.familiarity
    if not seen.abstains or seen.similarity is None or seen.abstain_below is None:
        return "no prototype that supports a class is present"
    similarity, limit = _numbers(explanation, [seen.similarity, seen.abstain_below])
    beyond = "above" if explanation.order == "similarity" else "below"
    what = NOTHING_KNOWN if seen.unfamiliar else "is too unfamiliar"
    return f"the image {what} ({deciding_word(explanation)} {similarity}, {beyond} {limit})"


def familiarity_text(explanation: ExplanationData) -> str:
    """Return the similarity on which the prediction rests and those of known images, in one sentence.

    Example:
        >>> import numpy as np
        >>> from resemblance.explain.familiarity.familiarity import Familiarity
        >>> from resemblance.explain.score_breakdown import ScoreBreakdown
        >>> data = ExplanationData("a.png", np.zeros((8, 8, 3), np.uint8), "kmex", ("cat", "dog"),
        ...     np.array([2.0, 1.0]), None, "logit", "contribution", 0, (ScoreBreakdown(0, "cat", 2.0, ()),),
        ...     familiarity=Familiarity(0.044, 8, 140, None, 0.0213, 0.1082, 0.0149))
        >>> familiarity_text(data)
        'Similarity 0.044; images classified correctly: 0.021 to 0.108.'
    """
    seen = explanation.familiarity
    if seen.similarity is None:
        return ""
    word = capitalised(deciding_word(explanation))
    if seen.low is None or seen.high is None:
        [similarity] = _numbers(explanation, [seen.similarity])
        if seen.images is None:
            return f"{word} {similarity}; no reference stored to compare it with."
        return (
            f"{word} {similarity}; too few images to judge it: {seen.images} validation images classified correctly, "
            f"where {ENOUGH} are needed."
        )
    similarity, *ends = _numbers(explanation, [seen.similarity, seen.low, seen.high])
    low, high = ends if explanation.order == "contribution" else reversed(ends)
    of = "" if seen.class_name is None else f" of {seen.class_name}"
    return f"{word} {similarity}; images{of} classified correctly: {low} to {high}."


def answer_set_text(explanation: ExplanationData) -> str:
    """Return the set of classes in one sentence; empty if none was asked for."""
    answers = explanation.answer_set
    if answers is None:
        return ""
    level = f"{100 * answers.level:g}{NO_BREAK}%"
    images = f"{answers.images} validation image{'s' * (answers.images != 1)}"
    if not answers.enough:
        return f"Set of classes with {level}: all, because {images} are too few for this level."
    names = ", ".join(answers.classes) or "none: no class is as probable as the true one usually is"
    exact = "exact only if the choice of the model did not see these images"
    if answers.before_refit:
        exact = "not exact: the model was trained again since, on these images, too"
    return f"Set of classes that holds the true one with {level}: {names} (by {images}; {exact})."


def familiarity_lines(explanation: ExplanationData) -> list[str]:
    """Return the sentences about the similarity and the set of classes."""
    return [*filter(None, [familiarity_text(explanation), answer_set_text(explanation)])]


def _numbers(explanation: ExplanationData, values: list[float]) -> list[str]:
    """Format similarities alike; squared distances without their sign."""
    shown = [-value if explanation.order == "similarity" else value for value in values]
    decimals = min(decimals_for(shown), 4)
    return [number_text(value, decimals) for value in shown]
