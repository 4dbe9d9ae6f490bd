"""The text of an explanation for a terminal: tables that add up to the scores."""

from __future__ import annotations

from resemblance.explain.against.sum_words import reference_text, sum_text
from resemblance.explain.context.ranking import Ranking
from resemblance.explain.explanation_data import ExplanationData
from resemblance.explain.familiarity.familiarity_text import familiarity_lines
from resemblance.explain.map_text import map_lines, votes_text
from resemblance.explain.rounding import signed
from resemblance.explain.text import (
    counter_text,
    headline,
    others_text,
    path_text,
    score_word,
    share_text,
    similarity_text,
    similarity_word,
    step_text,
    warnings,
    weight_text,
    weight_word,
)
from resemblance.printing.characters import printable

BAR = 20  # characters of a full bar


def text_table(explanation: ExplanationData) -> str:
    """Return the explanation as plain text for a terminal: a table per class that adds up to its score."""
    blocks = [f"{printable(explanation.name)}: {headline(explanation)}", *familiarity_lines(explanation)]
    if explanation.black_box is not None:
        blocks[0] += f"; {explanation.black_box.text()}"
    for breakdown in explanation.breakdowns:
        words = explanation.words
        first, weight = "path" if explanation.paths else words.one, weight_word(explanation)
        head = [first, "class", similarity_word(explanation), weight, "contribution", words.source]
        rows, paths = [], list[str]()
        for line in breakdown.lines():
            if line.reason is None:
                label = {
                    "others": others_text(breakdown),
                    "bias": "bias",
                    "score": sum_text(score_word(explanation), breakdown),
                }[line.kind]
                rows.append([label, "", "", "", line.value, ""])
                continue
            view = line.reason.prototype
            if line.reason.steps:
                paths.append(f"path {len(paths) + 1}: {path_text(breakdown, line.reason)}.")
                probability = similarity_text(explanation, line.reason)
                rows.append([str(len(paths)), "", probability, weight_text(line.reason), line.value, ""])
                continue
            numbers = [similarity_text(explanation, line.reason), weight_text(line.reason), line.value]
            number = f"{view.index}{' (against)' if line.reason.speaks_against else ''}"
            rows.append([number, view.owner if words.owned else "", *numbers, view.source_name])
        votes = [f"{r.prototype.title}: {votes_text(explanation, r)}" for r in breakdown.reasons]
        blocks += [
            align(head, rows),
            *paths,
            *(votes if explanation.score_kind == "votes" else []),
            *filter(None, [reference_text(score_word(explanation), breakdown)]),
        ]
        blocks.append(share_text(explanation, breakdown))
    reason = explanation.counter
    if reason is not None and reason.steps:
        steps = ", ".join(step_text(step) for step in reason.steps)
        blocks.append(f"{counter_text(explanation)}: {steps}; contribution {signed(reason.contribution, 3)}.")
    elif reason is not None:
        view = reason.prototype
        blocks.append(
            f"{counter_text(explanation)}: {view.title}{f' of {view.owner}' if view.words.owned else ''}, "
            f"{similarity_word(explanation)} {similarity_text(explanation, reason)}, "
            f"contribution {signed(reason.contribution, 3)}."
        )
    if explanation.ranking is not None:
        blocks += ranking_lines(explanation.ranking)
    blocks += map_lines(explanation)
    blocks += [f"Warning: {text}" for text in warnings(explanation)]
    return printable("\n".join(blocks), lines=True)


def ranking_lines(ranking: Ranking) -> list[str]:
    """Return the nearest prototypes as lines with bars on one scale, and the sentences about them."""
    rows = [
        (one.prototype.title, one.prototype.owner, ranking.number(one.similarity)) for one in ranking.nearest
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        f"{title.ljust(widths[0])}  {owner.ljust(widths[1])}  {value.rjust(widths[2])}  "
        + "█" * max(0, round(BAR * one.similarity / ranking.scale))
        for (title, owner, value), one in zip(rows, ranking.nearest, strict=True)
    ]
    return [
        f"Nearest {ranking.nearest[0].prototype.words.many} of all classes:",
        *(line.rstrip() for line in lines),
        *ranking.sentences(),
    ]


def align(head: list[str], rows: list[list[str]]) -> str:
    """Return a table with columns as wide as their widest cell, without empty columns; numbers are right-aligned."""
    table = [[printable(cell) for cell in row] for row in (head, *rows)]
    used = [column for column in range(len(head)) if any(row[column] for row in rows)]
    widths = {column: max(len(row[column]) for row in table) for column in used}
    numeric = {2, 3, 4}
    lines = [
        "  ".join(
            row[column].rjust(widths[column]) if column in numeric else row[column].ljust(widths[column])
            for column in used
        ).rstrip()
        for row in table
    ]
    rule = "-" * max(len(line) for line in lines)
    return "\n".join([lines[0], rule, *lines[1:-1], rule, lines[-1]])
