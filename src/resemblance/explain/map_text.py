"""The words about the maps of an explanation and about cells that vote, for the terminal, figures and pages."""

from __future__ import annotations

from math import floor

from resemblance.config.relevance import LRP_NOTICE, MAP_NAMES
from resemblance.explain.explanation_data import ExplanationData
from resemblance.explain.reason import Reason, Step

SHARE = 1e-4  # rounding of votes in float32


def map_name(explanation: ExplanationData) -> str:
    """Return the name of the kind of the maps; empty if there are none."""
    return "" if explanation.maps is None else MAP_NAMES[explanation.maps]


def map_legend(explanation: ExplanationData) -> str:
    """Return one sentence about signed maps and their colours; empty for similarity maps and without maps."""
    if not explanation.signed or not explanation.mapped:
        return ""
    words = explanation.words
    return (
        f"Maps: {map_name(explanation)}. Blue pixels raise the {words.similarity} of the {words.one}, red ones "
        "lower it; colours compare pixels of one map."
    )


def scale_texts(explanation: ExplanationData, part: Reason | Step) -> tuple[str, str]:
    """Return what the least and the strongest colour of a map stand for.

    The values of similarity maps are similarities; those of signed maps have no unit that a reader knows.
    """
    if explanation.signed and part.map.drawn:
        return "lowers", "raises"
    if (heat := part.heat) is None:
        return "", ""
    low, high = (f"{float(value):.2g}".replace("-", "−") for value in (heat.min(), heat.max()))
    return low, high


def map_notice(explanation: ExplanationData) -> str:
    """Return the notice that belongs to the kind of the maps; empty if there is none."""
    return LRP_NOTICE if explanation.maps == "prp" and explanation.mapped else ""


def empty_map(explanation: ExplanationData, part: Reason | Step) -> bool:
    """Return whether a signed map is zero everywhere, so that nothing is drawn."""
    return explanation.signed and (heat := part.heat) is not None and not heat.any()


def check_text(explanation: ExplanationData, part: Reason | Step) -> str:
    """Return the sentence of the deletion check of a map, or that the map is empty; empty if there is none."""
    if part.check is not None:
        return part.check.sentence()
    return "This map is empty: no pixel has any relevance." if empty_map(explanation, part) else ""


def map_lines(explanation: ExplanationData) -> list[str]:
    """Return the sentences about the maps for a text without pictures."""
    lines = []
    for part in explanation.mapped:
        text = check_text(explanation, part)
        if text:
            name = f"part {part.prototype.index}" if explanation.paths else part.prototype.title
            lines.append(f"map of {name} ({map_name(explanation)}): {text}")
    return [*lines, *filter(None, [map_notice(explanation)])]


def votes_text(explanation: ExplanationData, reason: Reason) -> str:
    """Return how many cells of the image voted for a reason's prototype, as text; empty if cells do not vote.

    A contribution is the number of votes plus a share below 1, and the scores of all classes add up to all votes plus
    such a share.
    """
    if explanation.score_kind != "votes":
        return ""
    votes, cells = floor(abs(reason.contribution) + SHARE), floor(float(explanation.scores.sum()) + SHARE)
    return f"{votes} of {cells} cells voted for it"
