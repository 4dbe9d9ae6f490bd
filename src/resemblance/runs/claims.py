"""Compare the figures that a folder claims with those that are measured."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from resemblance.config.errors import UserError
from resemblance.data.sources.source import DataSplits
from resemblance.metrics.evaluation import Evaluation
from resemblance.printing.numbers import share
from resemblance.runs.config_file import absolute
from resemblance.runs.inspection.claimed_figures import TOLERANCE, ClaimedFigure, claimed_figures
from resemblance.runs.run import RunRecord

MEAN_TOLERANCE = 1e-6  # of a method's own measures, which are means in float32
TITLES = {
    "accuracy": "an accuracy of",
    "black box": "an accuracy of the black box of",
    "agreement": "an agreement with the black box of",
}
ERRORS = 2  # standard errors within which other images do not contradict a claim


@dataclass(frozen=True)
class Claim:
    """A figure that a folder claims, beside the measured one.

    Args:
        figure: ``accuracy``, ``black box``, ``agreement``, ``prototypes``, or a measure of the method itself.
        split: the images of the claim; empty for the number of prototypes.
        files: the files that claim it.
        claimed: the claimed figure; NaN or infinite only if the folder says so.
        measured: the measured figure.
        same_images: whether the measured images are those of the claim, as far as names and numbers tell.
        differs: whether they differ: on the same images at all, on others by more than two standard errors.
        says: one sentence.
    """

    figure: str
    split: str
    files: tuple[str, ...]
    claimed: float
    measured: float
    same_images: bool
    differs: bool
    says: str

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready dictionary."""
        return {
            "figure": self.figure,
            "split": self.split,
            "files": list(self.files),
            "claimed": self.claimed if math.isfinite(self.claimed) else None,
            "measured": self.measured,
            "same_images": self.same_images,
            "differs": self.differs,
            "says": self.says,
        }


def compare_claims(
    facts: Mapping[str, Any],
    metrics: Mapping[str, Any],
    evaluation: Evaluation,
    split: str,
    *,
    same_data: bool,
    whole: bool = True,
) -> list[Claim]:
    """Compare the figures that a model claims with those of an evaluation.

    On the same images any difference counts. On other images, or on some of the same, two standard errors of a share
    are allowed: √(v/n), with v the larger of p(1 − p) of both shares and n the measured images; for other data √(v/n +
    v/m), with the m images of the claim, where their number is known.

    Args:
        facts: the facts of the model.
        metrics: the content of the run's metrics.json; empty if there is none.
        evaluation: what was measured.
        split: the split that was measured.
        same_data: whether it is the same split of the same data as that of the claims.
        whole: whether all images of the split were measured.

    Returns:
        One claim for each figure that both have; equal claims of several files are one. On other data without a claim
        for this split, the claims for the test images count, else those for the validation images.

    Example:
        >>> import numpy as np
        >>> measured = Evaluation(("cat", "dog"), np.array([[97, 3], [2, 98]]))
        >>> [claim] = compare_claims({"accuracy": {"test": 0.99}}, {}, measured, "test", same_data=True)
        >>> claim.differs, claim.says  # doctest: +NORMALIZE_WHITESPACE
        (True, 'config.json claims an accuracy of 99.00 % on test, but measured here on the same 200 images: 97.50 %
        (3 images fewer)')
        >>> [claim] = compare_claims({"accuracy": {"test": 0.99}}, {}, measured, "test", same_data=False)
        >>> claim.differs
        False
    """
    claims = claimed_figures(facts, metrics)
    claimed_splits = {claim.split for claim in claims if claim.figure == "accuracy"}
    if not same_data:
        split = next((name for name in (split, "test", "val") if name in claimed_splits), split)
    grouped: dict[tuple[str, float], list[ClaimedFigure]] = {}
    for claim in claims:
        if claim.split in ("", split):
            grouped.setdefault((claim.figure, claim.value), []).append(claim)
    results = []
    for (figure, _), same in grouped.items():
        measured = _measured(figure, same[0].split, evaluation)
        if measured is not None:
            results.append(_compare(same, measured, evaluation.images, same_data, whole))
    return results


def claims_of_run(
    run: RunRecord, evaluation: Evaluation, splits: DataSplits, split: str, *, whole: bool = True
) -> list[Claim]:
    """Compare the figures that a run claims with those measured on a split of some data; see `compare_claims`.

    The data is the same if it has the same name as the data of the run, or the same path. Of a model folder alone, the
    seed of its split is not known, so that its validation images may be others. A metrics.json that cannot be read
    claims nothing; `inspect` says what is wrong with it.

    Args:
        run: the run.
        evaluation: what was measured.
        splits: the data.
        split: the split that was measured.
        whole: whether all images of the split were measured.
    """
    metrics: Mapping[str, Any] = {}
    with suppress(UserError):
        metrics = run.metrics
    own = run.config.get("data")
    same = splits is run.splits or splits.name == run.model.facts.get("data")
    same = same or (own is not None and absolute(splits.name) == own)
    drawn = split in ("train", "val") and not run.config and splits is not run.splits
    return compare_claims(
        run.model.facts, metrics, evaluation, split, same_data=same and not drawn, whole=whole
    )


def differences(claims: Sequence[Claim]) -> list[str]:
    """Return the sentences about claims that differ from what was measured."""
    return [claim.says for claim in claims if claim.differs]


def claim_lines(claims: Sequence[Claim]) -> list[str]:
    """Return lines for people: each difference, and one line about the claims that agree.

    Example:
        >>> claim_lines([Claim("accuracy", "test", ("config.json",), 0.9, 0.9, True, False, "")])
        ['claimed and measured agree: accuracy']
    """
    lines = [f"! {says}" for says in differences(claims)]
    for same in (True, False):
        agree = [claim.figure for claim in claims if not claim.differs and claim.same_images == same]
        within = "" if same else ", within two standard errors, on other images or some of them"
        if agree:
            lines.append(f"claimed and measured agree{within}: {', '.join(dict.fromkeys(agree))}")
    return lines


def _measured(figure: str, split: str, evaluation: Evaluation) -> float | None:
    if not split:
        return evaluation.prototypes if figure == "prototypes" else None
    own = {
        "accuracy": evaluation.accuracy,
        "black box": evaluation.black_box,
        "agreement": evaluation.agreement,
    }
    return own.get(figure, evaluation.measured.get(figure))


def _compare(
    claims: Sequence[ClaimedFigure], measured: float, images: int, same_data: bool, whole: bool
) -> Claim:
    first, files = claims[0], tuple(claim.file for claim in claims)
    claimed, count = first.value, next((claim.images for claim in claims if claim.images is not None), None)
    by = f"{' and '.join(files)} claim{'s' if len(files) == 1 else ''}"
    title = TITLES.get(first.figure, f"a {first.figure} of")
    same_images = same_data and whole and count in (None, images)
    if not first.split:
        same_images, differs = True, claimed != measured
        says = f"{by} {claimed:g} {first.figure}, {'but ' if differs else ''}the model has {measured:g}"
    elif not (0 <= claimed <= 1 and 0 <= measured <= 1):
        tolerance = MEAN_TOLERANCE * max(1.0, abs(measured))
        differs = not abs(claimed - measured) <= tolerance and (same_images or first.figure in TITLES)
        says = f"{by} {title} {claimed:g} on {first.split}; measured here: {measured:g}"
    elif same_images:
        tolerance = TOLERANCE if first.figure in TITLES else MEAN_TOLERANCE
        differs = abs(claimed - measured) > tolerance
        here = f"measured here on the same {images} images: {share(measured)}"
        more = f" ({_in_images(measured - claimed, images)})" if differs else ""
        says = f"{by} {title} {share(claimed)} on {first.split}{', but' if differs else ';'} {here}{more}"
    else:
        error = _standard_error(claimed, measured, images, None if same_data and not whole else count)
        differs = abs(claimed - measured) > ERRORS * error
        says = (
            f"{by} {title} {share(claimed)} on {first.split}{', but' if differs else ';'} measured here on "
            f"{_which(images, count, same_data, whole)}: {share(measured)}, which differs by "
            f"{'more than' if differs else 'no more than'} two standard errors ({100 * ERRORS * error:.2f} points)"
        )
    return Claim(first.figure, first.split, files, claimed, measured, same_images, differs, says)


def _which(images: int, count: int | None, same_data: bool, whole: bool) -> str:
    if not same_data:
        return f"{images} images of other data"
    of = "" if count is None else f" of the {count}"
    return f"{images} images of a split that had {count}" if whole else f"{images}{of} images"


def _in_images(difference: float, images: int) -> str:
    """Return a difference of two shares as a number of images."""
    number = round(abs(difference) * images)
    if not number:
        return "less than one image; the claim may be rounded"
    return f"{number} {'image' if number == 1 else 'images'} {'more' if difference > 0 else 'fewer'}"


def _standard_error(claimed: float, measured: float, images: int, of_claim: int | None) -> float:
    """Return the binomial standard error of the difference of two shares."""
    variance = max(claimed * (1 - claimed), measured * (1 - measured))
    return math.sqrt(variance / images + (variance / of_claim if of_claim else 0))
