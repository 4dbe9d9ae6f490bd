"""The finding of the check that moves places: rates of success, similarities reached, and pictures."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from resemblance.audit.attack_check import blind_notes
from resemblance.audit.attack_rates import FAILED, PASSED, joined, percent, rate, sentence_of, verdict_of
from resemblance.audit.audit_check import Record
from resemblance.audit.finding import Finding
from resemblance.audit.places.place_attacks import NOISE
from resemblance.audit.places.place_check import PlaceCheck
from resemblance.audit.places.place_examples import place_examples
from resemblance.metrics.since.bootstrap import mean_interval
from resemblance.metrics.suite.result import Value

VERY_HIGH = 4.0  # "empirically very high", section 3


def moved_finding(check: PlaceCheck, records: Sequence[Record]) -> Finding:
    """Return the finding of `HeadOnStomach`."""
    words, settings = check.model.traits.words, check.subject.settings
    usable = joined(records, "usable") > 0
    rows = {name: joined(records, name)[usable] for name in ("held", "any", "noise_held", "noise_any", "log")}
    before, after = (joined(records, name)[usable].double() for name in ("before", "after"))
    success = rows["held"].bool()
    left_out = {f"images without a {words.one} that leaves room": int((~usable).sum())}
    good = f"Near 0, and near the rate of {NOISE}."
    main = rate(
        "head_on_stomach",
        "images with a moved place",
        success,
        f"In {{hits}} of {{count}} images one of the {settings.top} strongest {words.many} is found elsewhere, and the "
        "prediction stays.",
        good,
        baseline=rows["noise_held"],
        baseline_of=NOISE,
        left_out=left_out,
    )
    values = [
        main,
        rate(
            "head_on_stomach_any",
            "the same, whatever the prediction",
            rows["any"],
            "In {hits} of {count} images one of them is found elsewhere, if the prediction may change.",
            good,
            baseline=rows["noise_any"],
            baseline_of=NOISE,
            left_out=left_out,
        ),
        _similarity(before[success], after[success], words.similarity),
        rate(
            "head_on_stomach_stronger",
            "moved places with more similarity than the true one had",
            after[success] > before[success],
            "{hits} of {count} new places are more similar than the true one was in the unchanged image.",
            "Near 0.",
            of="images with a moved place",
        ),
    ]
    notes = [
        f"An image stops at its first success; at most {settings.top} {words.many} per image are attacked."
    ]
    if rows["log"].any():
        values.append(
            rate(
                "head_on_stomach_very_high",
                "moved places with a very high similarity",
                after[success & rows["log"].bool()] >= VERY_HIGH,
                f"{{hits}} of {{count}} new places reach a similarity of {VERY_HIGH:g} or more.",
                "Near 0.",
                of="images with a moved place",
            )
        )
    elif success.any():
        notes.append(
            f"A similarity of {VERY_HIGH:g} is very high on ProtoPNet's logarithmic scale alone, and not counted here."
        )
    if settings.variant == "released":
        notes.append(
            "Variant released: the pixels of the rectangle around all other cells may change, usually the whole image, "
            "and prototypes are taken by similarity."
        )
    notes += blind_notes(records)
    verdict = verdict_of(main.value)
    return Finding(
        check.name,
        check.title,
        verdict,
        sentence_of(
            main,
            f"Changes of at most {check.grey_levels}, and only of other pixels, move the place of a {words.one} in "
            f"{percent(main.value)} of the images, while the prediction stays; noise does so in "
            f"{percent(main.baseline)}.",
        ),
        f"A {words.one} is shown with the place where it was found. An attack changes pixels outside of that place, "
        f"too little to be seen, until the {words.one} is found there. Where it succeeds, the marked place need not "
        f"look like the {words.one}.",
        tuple(values),
        cure="" if verdict in ("passed", "information") else "Train with adversarial examples; see Remedies.",
        examples=place_examples(
            check.model,
            records,
            settings.examples,
            "{prototype} moves",
            f"Only pixels outside of the box in the upper row were changed, and the {words.one} is then found "
            "elsewhere, where the arrow leads. Both maps have the same colour scale.",
        ),
        details={
            "images": int(usable.sum()),
            "attacks": int(joined(records, "attacks").sum()),
            "successes_by_rank": torch.bincount(
                joined(records, "rank")[usable][success].long(), minlength=settings.top
            ).tolist(),
            "limits": {"passed": PASSED, "failed": FAILED},
        },
        notes=tuple(notes),
    )


def _similarity(before: Tensor, after: Tensor, word: str) -> Value:
    """Return the mean similarity at the new places, beside that at the true ones before."""
    defined = len(after) > 0
    mean, median = (float(after.mean()), float(after.median())) if defined else (float("nan"), float("nan"))
    interval = mean_interval(after) if len(after) > 1 else None
    return Value(
        "head_on_stomach_similarity",
        f"{word} at the new place",
        mean,
        "lower",
        f"The mean {word} at the new places is {mean:.3g}, the median {median:.3g}."
        if defined
        else "No place was moved.",
        "Far below that of the true places.",
        baseline=float(before.mean()) if defined else None,
        baseline_of="the true place of the unchanged image" if defined else "",
        deviation=float(after.std()) if len(after) > 1 else None,
        interval=None if interval is None else (interval.low, interval.high),
        count=len(after),
        of="images with a moved place",
    )
