"""Say in words what the contributions of a breakdown add up to: a score, or a difference of two."""

from __future__ import annotations

from resemblance.explain.rounding import decimals_for, number_text
from resemblance.explain.score_breakdown import ScoreBreakdown


def sum_text(word: str, breakdown: ScoreBreakdown) -> str:
    """Return what the contributions add up to.

    Args:
        word: the term for a score: score, probability or votes.
        breakdown: the score of a class, or its difference from a reference.

    Example:
        >>> from resemblance.explain.against.compared_with import Reference
        >>> sum_text("score", ScoreBreakdown(0, "cat", 1.5, (), reference=Reference("mean", 0.5)))
        'score of cat minus the mean of the classes'
    """
    text = f"{word} of {breakdown.class_name}"
    return text if breakdown.reference is None else f"{text} minus {breakdown.reference.text}"


def why_text(word: str, breakdown: ScoreBreakdown) -> str:
    """Return the title of a breakdown, with the term for a score.

    Example:
        >>> why_text("votes", ScoreBreakdown(0, "cat", 1.5, ()))
        'Why cat has these votes'
    """
    name, reference, plural = breakdown.class_name, breakdown.reference, word.endswith("s")
    if reference is None:
        return f"Why {name} has {'these' if plural else 'this'} {word}"
    return f"Why the {word} of {name} {'differ' if plural else 'differs'} from {reference.text}"


def reference_text(word: str, breakdown: ScoreBreakdown) -> str:
    """Return both scores and how to read the contributions; empty for the plain score.

    Example:
        >>> from resemblance.explain.against.compared_with import Reference
        >>> reference_text("score", ScoreBreakdown(0, "cat", 1.5, (), reference=Reference("mean", 0.5)))
        'The score of cat is 1.500, the mean of the classes 0.500; each line is what a reason adds to their difference.'
    """
    reference = breakdown.reference
    if reference is None:
        return ""
    decimals = decimals_for([breakdown.score, reference.score])
    own, other = (number_text(value, decimals) for value in (breakdown.score, reference.score))
    subtracted = (
        f"{reference.text} (the strongest other class)" if reference.kind == "runner-up" else reference.text
    )
    be = "are" if word.endswith("s") else "is"
    return (
        f"The {word} of {breakdown.class_name} {be} {own}, {subtracted} {other}; "
        "each line is what a reason adds to their difference."
    )
