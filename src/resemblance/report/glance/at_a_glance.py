"""Say in a few sentences what a model does, how good it is, where it is weak, and whether its folder was audited."""

from __future__ import annotations

import math

from resemblance.metrics.confusion import ClassFigures, class_figures, frequent_confusions
from resemblance.metrics.suite.measurements.measures_of_prediction import share_interval
from resemblance.report.content import BIG_GAP, LOW_AGREEMENT, RunReport, SplitResult
from resemblance.report.glance.statement import Statement, percent

FEW = 20  # images of a class, or answers of a class, below which its share of mistakes says little
NAMED = 6  # classes that are named in a sentence


def at_a_glance(run: RunReport) -> list[Statement]:
    """Return the sentences of the first screen about a run; what is not known is left out.

    Example:
        >>> import numpy as np
        >>> result = SplitResult("test", np.array([[90, 10], [1, 99]]))
        >>> for statement in at_a_glance(RunReport("run", "kmex", ("cat", "dog"), results=[result])):
        ...     print(f"{statement.topic} {statement.text[:30]} …".replace(chr(160), " "))
        What it does It sorts images into 2 classes …
        How good it is It is right on 94.5 % of 200 t …
        Where it is weak It recognises 90.0 % of the 10 …
        May I trust an answer? An answer is wrong in 5.5 % of …
        Does the folder do what it says? Not audited yet: "resemblance  …
    """
    tests = [result for result in run.results if result.name.startswith("test")]
    main = next(iter([*tests, *run.results]), None)
    statements = [_what(run)]
    if main is not None and main.images:
        statements += [_good(run, main), *_weak(run, main), *_against_black_box(main), _trust(run, main)]
    if run.results or run.audit is not None:  # a page of single explanations says nothing of the folder
        statements.append(_audited(run))
    return statements


def _what(run: RunReport) -> Statement:
    words, count = run.words, len(run.classes)
    named = (
        _listed(run.classes)
        if count <= NAMED
        else f"{', '.join(run.classes[:NAMED])} and {count - NAMED} more"
    )
    text = f"It sorts images into {count} classes: {named}."
    if run.prototypes:
        text += f" Its reasons are {words.count(len(run.prototypes))}."
    elif not run.explanations:
        text += " It gives no reasons."
    return Statement("What it does", text)


def _good(run: RunReport, main: SplitResult) -> Statement:
    interval = share_interval(main.accuracy, main.images)
    text = f"It is right on {percent(main.accuracy)} of {main.images:,} {main.name} images"
    if interval is not None:
        text += f" (with 95 % confidence, {percent(interval[0])} to {percent(interval[1])})"
    text += "."
    doubt = False
    validation = next((one for one in run.results if one.name == "validation" and one.images), None)
    if validation is not None and validation is not main:
        text += f" On the validation images, by which it was chosen, {percent(validation.accuracy)}"
        error = math.sqrt(sum(one.accuracy * (1 - one.accuracy) / one.images for one in (main, validation)))
        if validation.accuracy - main.accuracy > max(2 * error, 1e-9):
            text += ": more than chance explains, so that new images may be harder than these figures say"
            doubt = True
        text += "."
    most = int(main.confusion.sum(axis=1).max())
    if main.accuracy * main.images <= most:
        text += f" Always answering the most frequent class is right on {percent(most / main.images)}."
        doubt = True
    return Statement("How good it is", text, "doubt" if doubt else "plain")


def _weak(run: RunReport, main: SplitResult) -> list[Statement]:
    figures = class_figures(main.confusion, run.classes)
    judged = [one for one in figures if one.images >= FEW and not math.isnan(one.recall)]
    few = [one.name for one in figures if one.images < FEW]
    sentences = []
    worst = min(judged, key=lambda one: one.recall, default=None)
    if worst is not None:
        if worst.recall == 1:
            sentences.append("It makes no mistake on any class that has enough images to judge.")
        else:
            sentences.append(_worst(run, main, worst))
    if few:
        names = _listed(few[:3]) if len(few) <= 3 else f"{', '.join(few[:3])}, …"
        sentences.append(
            f"{len(few)} of {len(run.classes)} classes have fewer than {FEW} {main.name} images, too few to judge: "
            f"{names}."
        )
    if not sentences:
        return []
    doubt = worst is not None and worst.recall < 0.8
    return [Statement("Where it is weak", " ".join(sentences), "doubt" if doubt else "plain")]


def _worst(run: RunReport, main: SplitResult, worst: ClassFigures) -> str:
    text = f"It recognises {percent(worst.recall)} of the {worst.images:,} images of {worst.name}"
    row = run.classes.index(worst.name)
    single = main.confusion * 0
    single[row] = main.confusion[row]
    mistakes = frequent_confusions(single, run.classes, 1)
    if mistakes:
        text += f"; it takes {percent(mistakes[0][3])} of them for {mistakes[0][1]}"
    return text + "."


def _against_black_box(main: SplitResult) -> list[Statement]:
    if main.gap is None or math.isnan(main.gap):
        return []
    points = 100 * main.gap
    if abs(points) < 0.05:
        text = f"As accurate as the classifier without explanations ({percent(main.black_box or 0.0)})."
    else:
        text = (
            f"The classifier without explanations is right on {percent(main.black_box or 0.0)}: explanations cost "
            f"{points:.1f} percentage points."
            if points > 0
            else f"The classifier without explanations is right on {percent(main.black_box or 0.0)}: this model is "
            f"{-points:.1f} percentage points better."
        )
    if main.agreement is not None:
        text += f" Both predict the same class for {percent(main.agreement)} of the {main.name} images."
    doubt = main.gap > BIG_GAP or (main.agreement is not None and main.agreement < LOW_AGREEMENT)
    return [Statement("What explanations cost", text, "doubt" if doubt else "plain")]


def _trust(run: RunReport, main: SplitResult) -> Statement:
    wrong = 1 - main.accuracy
    text = f"An answer is wrong in {percent(wrong)} of the {main.name} images."
    if main.sure is not None and main.sure[0] >= FEW:
        sure, right = main.sure
        text += (
            f" Where the model is sure (a probability of 90 % or more: {percent(sure / main.images)} of the images), "
            f"{percent(1 - right / sure)} are wrong."
        )
    answers = main.confusion.sum(axis=0)
    figures = [
        one
        for one, count in zip(class_figures(main.confusion, run.classes), answers, strict=True)
        if count >= FEW and not math.isnan(one.precision)
    ]
    worst = min(figures, key=lambda one: one.precision, default=None)
    if worst is not None and worst.precision < 1 and len(figures) > 1:
        text += f' Least to be trusted is "{worst.name}": {percent(1 - worst.precision)} of these answers are wrong.'
    return Statement("May I trust an answer?", text, "doubt" if wrong > 0.2 else "plain")


def _audited(run: RunReport) -> Statement:
    topic = "Does the folder do what it says?"
    if run.audit is None:
        return Statement(
            topic,
            f'Not audited yet: "resemblance audit {run.name}" measures the claimed figures again, compares the stored '
            "pictures with their images, and attacks the explanations.",
        )
    sentences, doubt = [], False
    if run.audit.claims:
        differ = [says for says, differs in run.audit.claims if differs]
        agree = f"{len(differ)} of {len(run.audit.claims)} differ ({differ[0]})" if differ else "they agree"
        sentences.append(f"The claimed figures were measured again: {agree}.")
        doubt = bool(differ)
    for verdict, says in (("failed", "It failed"), ("doubtful", "Doubtful"), ("passed", "It passed")):
        titles = [title for title, outcome in run.audit.verdicts if outcome == verdict]
        if titles:
            sentences.append(f"{says}: {_listed(titles)}.")
            doubt |= verdict != "passed"
    if not sentences:
        sentences.append("Its audit cannot be read here.")
    return Statement(topic, " ".join(sentences), "doubt" if doubt else "good")


def _listed(names: list[str] | tuple[str, ...]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
