"""The check "prototype swap": how many prototypes could be replaced by patches of foreign images?

After Baniecki & Biecek 2025: if pictures of other things can take the place of the prototypes and the answers stay,
the pictures do not pin the model down.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from resemblance.audit.audit_check import Check, Record
from resemblance.audit.audited import AuditSubject, no_foreign_images
from resemblance.audit.finding import Example, Finding, Verdict
from resemblance.audit.integrity.certificate_check import no_images
from resemblance.audit.integrity.nearest_swap import Swap, nearest_swap
from resemblance.audit.integrity.provenance_examples import title_of
from resemblance.audit.integrity.source_pictures import Shown, source_figure
from resemblance.audit.integrity.swapped_model import retuned, retunes, with_vectors
from resemblance.core.prototype_model import PrototypeModel
from resemblance.data.batch import Batch
from resemblance.data.inputs import as_picture
from resemblance.data.sources.source import Source
from resemblance.drawing.line_chart import Line, Panel, line_chart
from resemblance.drawing.style import png
from resemblance.metrics.suite.model_subject import no_prototypes
from resemblance.metrics.suite.result import Value, number
from resemblance.prototypes.vectors import VectorPrototypes

QUANTILES = (0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 1.0)
POINT = 0.01  # of accuracy, which a swap may cost
LARGEST = 2000  # images of each set that are searched
FOREIGN, OWN = "foreign images", "own-class images"
MEANING = (
    "Each prototype's nearest patch is sought in images of other things, and the prototypes with the nearest ones are "
    "replaced by them. If the accuracy stays, the same model could show these pictures as its reasons: the pictures do "
    "not pin down what the model looks for."
)
CURE = (
    "Do not read the pictures as what the model looks for. An encoder with features of this domain, more training, or "
    "fewer and more different prototypes may tie the pictures to the answers."
)


def no_vectors(subject: AuditSubject) -> str | None:
    """Explain that prototypes are not vectors, which patches could replace, if so."""
    if isinstance(subject.prototypes, VectorPrototypes):
        return None
    words = subject.model.traits.words
    return f"the {words.many} of {subject.model.name} are not vectors that a patch could replace"


class PrototypeSwapCheck(Check):
    """Replaces prototypes by the nearest patches of foreign images, more and more of them, and measures accuracy."""

    name = "prototype-swap"
    title = "Prototype swap"
    needs = (no_images, no_prototypes, no_vectors, no_foreign_images)

    def __init__(self, subject: AuditSubject) -> None:
        super().__init__(subject)
        assert subject.explains is not None
        self.model: PrototypeModel = subject.explains
        self.retunes = subject.train is not None and retunes(self.model)
        sets = [FOREIGN] if subject.train is None else [FOREIGN, OWN]
        whens = ["at once", "after retuning"] if self.retunes else ["at once"]
        self.columns = [(kind, when) for when in whens for kind in sets]

    def parts(self) -> int:
        """Return one part for the patches, and one per batch of images."""
        return 1 + math.ceil(len(self.subject.images) / self.subject.settings.batch_size)

    @cached_property
    def swaps(self) -> dict[str, Swap]:
        """The nearest patches, by set of images."""
        assert self.subject.foreign is not None
        swaps = {FOREIGN: nearest_swap(self.model, self._sample(self.subject.foreign), own=False)}
        if self.subject.train is not None:
            swaps[OWN] = nearest_swap(self.model, self._sample(self.subject.train), own=True)
        return swaps

    @cached_property
    def models(self) -> list[PrototypeModel]:
        """The models with replaced prototypes: by column, and within it by quantile."""
        vectors = self.model.prototypes.vectors.detach()
        at_once = [
            with_vectors(self.model, swap.replaced(vectors, quantile))
            for swap in self.swaps.values()
            for quantile in QUANTILES
        ]
        if not self.retunes:
            return at_once
        assert self.subject.train is not None
        return at_once + retuned(at_once, self._sample(self.subject.train))

    def _sample(self, source: Source) -> Iterator[Batch]:
        """Yield batches of at most `LARGEST` images, in an order drawn by the seed."""
        size, seed = self.subject.settings.batch_size, self.subject.settings.seed
        order = np.random.default_rng([seed, len(source)]).permutation(len(source))[:LARGEST]
        for start in range(0, len(order), size):
            yield self.subject.read(order[start : start + size], source)

    @torch.no_grad()
    def examine(self, part: int) -> Record:
        """Find the patches, or count the right answers in a batch of images with each share of prototypes replaced."""
        if part == 0:
            swap = self.swaps[FOREIGN]
            return {
                "distances": swap.distances.cpu(),
                "positions": swap.positions.cpu(),
                "boxes": swap.boxes.cpu(),
            }
        size = self.subject.settings.batch_size
        first, end = (part - 1) * size, min(part * size, len(self.subject.images))
        batch = self.subject.read(range(first, end))
        latents = self.model.latents(batch.images)
        answers = self.model.head(latents).scores.argmax(dim=1)
        expected = batch.labels if self.subject.labelled else answers
        right = [(model.head(latents).scores.argmax(dim=1) == expected).sum() for model in self.models]
        return {"right": torch.stack([(answers == expected).sum(), *right]).cpu(), "count": end - first}

    def finding(self, records: Sequence[Record]) -> Finding:
        """Return the largest share of prototypes that can be replaced at the cost of a point of accuracy."""
        count = sum(record["count"] for record in records[1:])
        rates = sum(record["right"].double() for record in records[1:]) / count
        assert isinstance(rates, Tensor)
        before, after = float(rates[0]), rates[1:].reshape(len(self.columns), len(QUANTILES)).tolist()
        curves = dict(zip(self.columns, after, strict=True))
        shares = {column: largest_share(curve, before) for column, curve in curves.items()}
        values = [
            self._value(when, shares, count) for when in dict.fromkeys(when for _, when in self.columns)
        ]
        values.append(self._accuracy(before, curves, count))
        share = shares[FOREIGN, "at once"]
        verdict: Verdict = "failed" if share >= 0.75 else "doubtful" if share >= 0.25 else "passed"
        return Finding(
            self.name,
            self.title,
            verdict,
            values[0].says,
            MEANING,
            tuple(values),
            CURE if share >= 0.25 else "",
            self._examples(before, curves, records[0]),
            {
                "quantiles": list(QUANTILES),
                self._measured: before,
                "after": {f"{kind}, {when}": curve for (kind, when), curve in curves.items()},
            },
            tuple(self._notes()),
        )

    @property
    def _measured(self) -> str:
        return "accuracy" if self.subject.labelled else "unchanged answers"

    def _value(self, when: str, shares: dict[tuple[str, str], float], count: int) -> Value:
        words, share = self.model.traits.words, shares[FOREIGN, when]
        own = shares.get((OWN, when))
        retuning = "" if when == "at once" else " and the last layer trained for an epoch"
        says = (
            f"{100 * share:.0f} % of the {words.many} can be replaced by patches of foreign images{retuning}, at the "
            f"cost of at most one point of {self._measured}."
        )
        return Value(
            "prototype_swap" if when == "at once" else "prototype_swap_retuned",
            f"{words.many} that can be replaced" + ("" if when == "at once" else ", after retuning"),
            share,
            "lower",
            says,
            "0: no picture could be another one; below 0.25 passes, 0.75 and more fails.",
            baseline=own,
            baseline_of="" if own is None else OWN,
            count=count,
            share=True,
        )

    def _accuracy(self, before: float, curves: dict[tuple[str, str], list[float]], count: int) -> Value:
        last = curves[FOREIGN, "at once"][-1]
        return Value(
            "prototype_swap_accuracy",
            f"{self._measured} with all {self.model.traits.words.many} replaced",
            last,
            None,
            f"With all of them replaced, the {self._measured} is {number(last)} instead of {number(before)}.",
            "Far below that of the model, if its pictures mean something.",
            baseline=before,
            baseline_of="the model as it is",
            count=count,
            share=True,
        )

    def _examples(
        self, before: float, curves: dict[tuple[str, str], list[float]], found: Record
    ) -> tuple[Example, ...]:
        lines = [
            Line(
                f"{kind}, {when}",
                QUANTILES,
                curve,
                colour=int(kind != FOREIGN),
                markers=when == "at once",
                dashed=when != "at once",
            )
            for (kind, when), curve in curves.items()
        ]
        lines.append(Line("no prototype replaced", (0, 1), (before, before), colour=6, dashed=True))
        chart = line_chart([Panel("share of prototypes replaced", self._measured, lines)])
        pictures = png(source_figure(self._rows(found), "prototype", "its foreign substitute"))
        return (
            Example(
                "Accuracy while prototypes are replaced",
                png(chart),
                "A flat curve: the pictures are exchangeable.",
            ),
            Example(
                "The first prototypes to be replaced",
                pictures,
                "Left, the picture that the folder shows; right, the foreign image whose place the model takes for it.",
            ),
        )

    def _rows(self, found: Record) -> list[Shown]:
        assert self.subject.foreign is not None
        rows, gallery = [], self.model.gallery
        whole = (0, 0, self.model.spec.image.width, self.model.spec.image.height)
        order = found["distances"].argsort(stable=True)[: self.subject.settings.examples].tolist()
        for k in order:
            item = None if gallery is None else gallery[k]
            image = self.subject.read([int(found["positions"][k])], self.subject.foreign).images[0].cpu()
            x0, y0, x1, y1 = found["boxes"][k].tolist()
            stored = None if item is None else item.decoded if item.kind == "decoded" else item.image
            box = None if item is None or item.kind == "decoded" else item.box
            true_box = None if (x0, y0, x1, y1) == whole else (x0, y0, x1, y1)
            rows.append(Shown(title_of(self.model, k), stored, box, as_picture(image), true_box))
        return rows

    def _notes(self) -> list[str]:
        notes = []
        if not self.retunes:
            why = (
                "there are no training images"
                if retunes(self.model)
                else f"{self.model.name} has no such layer"
            )
            notes.append(f"The last layer was not trained again: {why}.")
        if not self.subject.labelled:
            notes.append(
                "The classes of the images are not known: answers are compared with those before the swap."
            )
        notes.append(
            f"At most {LARGEST} images of each set were searched; among more, nearer patches may be found."
        )
        return notes


def largest_share(curve: Sequence[float], before: float) -> float:
    """Return the largest quantile whose accuracy is within one point of that before; 0 if none is.

    Example:
        >>> largest_share([0.9, 0.9, 0.895, 0.88, 0.7, 0.5, 0.1], 0.9)
        0.1
    """
    held = [q for q, rate in zip(QUANTILES, curve, strict=True) if rate >= before - POINT - 1e-9]
    return max(held, default=0.0)
