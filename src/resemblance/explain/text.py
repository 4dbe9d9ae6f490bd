"""Write an explanation as text, with the same words for the terminal, figures and pages."""

from __future__ import annotations

from resemblance.explain.explanation_data import ExplanationData
from resemblance.explain.familiarity.familiarity_text import (
    abstention_text,
    deciding_word,
    first_words,
)
from resemblance.explain.pictures.picture_warnings import picture_warnings
from resemblance.explain.reason import Reason, Step
from resemblance.explain.rounding import NO_BREAK, decimals_for, number_text, percent, signed
from resemblance.explain.score_breakdown import ScoreBreakdown

SCORE_WORDS = {"logit": "score", "probability": "probability", "votes": "votes"}


def score_word(explanation: ExplanationData) -> str:
    """Return the term for a score: score, probability or votes."""
    return SCORE_WORDS[explanation.score_kind]


def score_text(explanation: ExplanationData, index: int) -> str:
    """Return the score of a class as text, with its probability if scores are logits."""
    score = float(explanation.scores[index])
    if explanation.score_kind == "probability":
        return f"probability {percent(score)}"
    text = f"{score_word(explanation)} {_number(score, explanation.scores.tolist())}"
    if explanation.probabilities is not None:
        text += f", probability {percent(float(explanation.probabilities[index]))}"
    return text


def similarity_word(explanation: ExplanationData) -> str:
    """Return the name of the similarity column: squared distances for PrototypeDL, path probabilities for trees."""
    return "path probability" if explanation.paths else deciding_word(explanation)


def similarity_text(explanation: ExplanationData, reason: Reason) -> str:
    """Return a reason's similarity as text; a squared distance if the method compares by distances."""
    if reason.steps:
        return percent(reason.similarity)
    value = -reason.similarity if explanation.order == "similarity" else reason.similarity
    return _number(value, [one.similarity for one in explanation.all_reasons])


def _number(value: float, others: list[float]) -> str:
    """Format a number with three decimals, or with more if all that it is compared with are tiny."""
    return number_text(value, max(3, decimals_for(others)))


def heading_text(reason: Reason) -> str:
    """Return the heading of a reason, with "against" if it lowers the score."""
    return f"{reason.prototype.heading}{' (against)' if reason.speaks_against else ''}"


def weight_word(explanation: ExplanationData) -> str:
    """Return the name of the factor between similarity and contribution."""
    word = "class probability" if explanation.paths else explanation.words.weight
    return f"{word} difference" if explanation.breakdown.reference else word


def weight_text(reason: Reason) -> str:
    """Return a reason's weight as text; empty if the method has none."""
    if reason.weight is None:
        return ""
    if not reason.steps:
        return signed(reason.weight, 3)
    return percent(reason.weight) if reason.weight >= 0 else f"−{percent(-reason.weight)}"


def step_text(step: Step) -> str:
    """Return as text whether the image has the part of a step, with the probability.

    Example:
        >>> from resemblance.explain.prototype_view import PrototypeView
        >>> step_text(Step(PrototypeView(3), False, 0.25)).replace(NO_BREAK, " ")
        'lacks part 3 (25 %)'
    """
    return f"{'has' if step.present else 'lacks'} part {step.prototype.index} ({percent(step.probability)})"


def path_summary(reason: Reason) -> str:
    """Return the parts of a path in short: which the image has and which it lacks, in order."""
    return ", ".join(f"{'has' if step.present else 'lacks'} {step.prototype.index}" for step in reason.steps)


def path_text(breakdown: ScoreBreakdown, reason: Reason) -> str:
    """Return a path in one sentence: its steps and its leaf."""
    steps = ", ".join(step_text(step) for step in reason.steps)
    leaf = f"{weight_text(reason)} for {breakdown.class_name}"
    if breakdown.reference is not None:
        leaf = f"a difference of {weight_text(reason)} for {breakdown.class_name}"
    return f"{steps}: a leaf with {leaf}, reached with {percent(reason.similarity)}"


def share_text(explanation: ExplanationData, breakdown: ScoreBreakdown) -> str:
    """Return the share of the reasons shown in all contributions as text, with a warning if they miss what decided."""
    if breakdown.absolute == 0:
        return "Nothing contributes to this score" + ("; it consists of the bias." if breakdown.bias else ".")
    shown = len(breakdown.reasons)
    paths = any(reason.steps for reason in breakdown.reasons)
    if not breakdown.others:
        return "All reasons are shown."
    if paths and not breakdown.others_for - breakdown.others_against:
        return "This path alone determines the prediction; the other paths are not used."
    if paths:
        subject = "path shown carries" if shown == 1 else f"{shown} paths shown carry"
        text = f"The {subject} {percent(breakdown.share)} of the {'difference' if breakdown.reference else 'score'}"
        return text + (
            f": less than half. Most of it lies in the other {breakdown.others}."
            if explanation.misses(breakdown)
            else "."
        )
    subject = "reason shown carries" if shown == 1 else f"{shown} reasons shown carry"
    text = f"The {subject} {percent(breakdown.share)} of all contributions"
    if explanation.misses(breakdown):
        return text + f": less than half. Most of the evidence lies in the other {breakdown.others}."
    return text + "."


def others_text(breakdown: ScoreBreakdown) -> str:
    """Return the text of the line for the reasons that are not shown."""
    quantifier = "the other" if breakdown.reasons else "all"
    text = f"{quantifier} {breakdown.others:,}".replace(",", NO_BREAK)
    if breakdown.others_for and breakdown.others_against:
        decimals = decimals_for([breakdown.others_for, breakdown.others_against])
        return (
            f"{text} ({signed(breakdown.others_for, decimals)} {signed(breakdown.others_against, decimals)})"
        )
    return text


def warnings(explanation: ExplanationData) -> list[str]:
    """Return sentences about reasons that are not reliable or do not represent the whole score."""
    sentences = []
    answer = explanation.black_box
    if answer is not None and answer.agrees is False:
        sentences.append(answer.warning(explanation.predicted))
    for breakdown in explanation.breakdowns:
        of = f" for {breakdown.class_name}" if len(explanation.breakdowns) > 1 else ""
        if not breakdown.adds_up:
            sentences.append(
                f"The reasons{of} add up to {breakdown.total:.6g}, but the model computed {breakdown.score:.6g}."
            )
        if breakdown.absolute == 0 and explanation.abstained:
            sentences.append(
                f"All scores are zero: {breakdown.class_name} is not a prediction, only the first class in the list."
            )
        elif breakdown.absolute == 0:
            sentences.append(f"No {explanation.words.one} contributes to the score{of}.")
        elif explanation.misses(breakdown):
            sentences.append(
                f"The reasons shown{of} carry only {percent(breakdown.share)} of all contributions."
            )
        if not breakdown.reasons or explanation.chosen:
            continue
        best, view = breakdown.reasons[0], breakdown.reasons[0].prototype
        if best.steps:  # the classes of a leaf are not those of the last prototype before it
            continue
        first = "nearest prototype" if explanation.order == "similarity" else "strongest reason"
        if view.classes and breakdown.class_name not in view.classes:
            sentences.append(f"The {first}{of} is {view.words.a} of {view.owner}.")
        if best.contribution and view.unused:
            sentences.append(
                f"The {first}{of}, {view.title}, is not the most similar one for any training image."
            )
    views = {part.prototype.index: part.prototype for part in explanation.all_parts}
    if explanation.ranking is not None:
        views |= {one.prototype.index: one.prototype for one in explanation.ranking.nearest}
    return sentences + picture_warnings(list(views.values()))


def headline(explanation: ExplanationData) -> str:
    """Return the prediction in one line, with the true class if known."""
    if explanation.abstained:
        text = f"abstains: {abstention_text(explanation)}"
        return text + (f"; it is {explanation.true}" if explanation.true is not None else "")
    score = score_text(explanation, explanation.prediction)
    text = f"{first_words(explanation)}predicted {explanation.predicted} ({score})"
    if explanation.correct is False:
        return f"{text}, but it is {explanation.true}"
    return text + (", correctly" if explanation.correct else "")


def first_text(explanation: ExplanationData, breakdown: ScoreBreakdown) -> str:
    """Return the label of the first reason."""
    if explanation.chosen:
        return f"Chosen, for {breakdown.class_name}"
    kind = "path" if explanation.paths else "reason"
    predicted = "the predicted class, " if breakdown.class_index == explanation.prediction else ""
    if explanation.order == "similarity":
        return f"Nearest prototype, for {predicted}{breakdown.class_name}"
    return f"Best {kind} for {predicted}{breakdown.class_name}"


def counter_text(explanation: ExplanationData) -> str:
    """Return the label of the reason for the counter-class."""
    if explanation.counter_class is None:
        return ""
    name = explanation.classes[explanation.counter_class]
    if explanation.correct is False and explanation.counter_class == explanation.label:
        role = f"the true class, {name}"
    elif explanation.counter_class == explanation.prediction:
        role = f"the predicted class, {name}"
    else:
        role = f"the runner-up, {name}"
    kind = "path" if explanation.paths else "reason"
    return f"Best {kind} for {role} ({score_text(explanation, explanation.counter_class)})"
