"""Check how many images of noise, or of other things, are answered without a warning."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property
from typing import Any, ClassVar

import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor

from resemblance.audit.attack_rates import percent, rate, verdict_of
from resemblance.audit.audit_check import Check, Record
from resemblance.audit.audited import AuditSubject
from resemblance.audit.finding import Example, Finding
from resemblance.audit.reasons.attack_pictures import prototype_panel, row_example
from resemblance.audit.reasons.made_nonsense import KINDS, nonsense_images
from resemblance.core.classifier import Classifier
from resemblance.core.deciding import deciding_similarity
from resemblance.core.output import Output
from resemblance.core.prototype_model import PrototypeModel
from resemblance.data.inputs import as_picture, levels
from resemblance.drawing.panel_row import Panel
from resemblance.explain.familiarity.familiarity import familiarities
from resemblance.metrics.suite.result import Value, number

OWN, FOREIGN = "own images", "foreign images"
QUANTILE = 0.01  # images below this quantile of the own images' similarity would be warned of
ENOUGH = 100  # own images for a quantile


class Nonsense(Check):
    """Shows images of nothing, and foreign images, and counts the answers that come without a warning.

    A model warns if it abstains, or if its deciding similarity is below the 1 % quantile of the validation images whose
    reference is stored with it: its explanations then say that the image resembles nothing the model knows. Whether a
    warning would be possible without a stored reference is measured by the same quantile of the model's own images.
    """

    name: ClassVar[str] = "nonsense"
    title: ClassVar[str] = "Nonsense"

    def __init__(self, subject: AuditSubject) -> None:
        super().__init__(subject)
        size = subject.settings.batch_size
        counts = {kind: count or max(1, subject.settings.attacked) for kind, (_, count) in KINDS.items()}
        foreign = 0 if subject.foreign is None else len(subject.foreign)
        counts[FOREIGN] = min(foreign, len(subject.images))
        counts = {OWN: len(subject.images), **counts}
        self._work = [
            (kind, range(start, min(start + size, count)))
            for kind, count in counts.items()
            for start in range(0, count, size)
        ]

    def parts(self) -> int:
        """Return the number of batches of all kinds of images."""
        return len(self._work)

    @cached_property
    def _colours(self) -> tuple[Tensor, Tensor]:
        """Mean and deviation of the own images' pixels, of a sample, by channel."""
        count = min(len(self.subject.images), self.subject.settings.batch_size)
        pixels = self.subject.read(range(count)).images.transpose(0, 1).flatten(1)
        return pixels.mean(dim=1), pixels.std(dim=1, correction=0)

    def _images(self, kind: str, numbers: range) -> Tensor:
        if kind == OWN:
            return self.subject.read(numbers).images
        if kind == FOREIGN:
            return self.subject.read(numbers, self.subject.foreign).images
        shape = (self.subject.model.spec.image.channels, *self.subject.size)
        mean, std = self._colours
        made = nonsense_images(kind, numbers, shape, mean, std, self.subject.settings.seed)
        return made.to(self.subject.model.device, self.subject.model.normalize.mean.dtype)

    def examine(self, part: int) -> Record:
        """Classify one batch."""
        model = self.subject.model
        kind, numbers = self._work[part]
        images = self._images(kind, numbers)
        with torch.no_grad():
            output = model(images)
            confidence, classes = model.probabilities(output.scores).max(dim=1)
            deciding = deciding_similarity(model, output)
            warned = _warned(model, output)
        record: Record = {"kind": kind, "warned": warned, "confidence": confidence.float().cpu()}
        if deciding is not None:
            record["similarity"] = deciding[0].cpu()
        if kind != OWN:
            sure = confidence.cpu().masked_fill(warned, -1.0)
            row = int(sure.argmax())
            record["example"] = {
                "image": levels(images[row]),
                "class": int(classes[row]),
                "confidence": float(sure[row]),
                "prototype": None if deciding is None else int(deciding[1][row]),
                "similarity": None if deciding is None else float(deciding[0][row]),
            }
        return record

    def finding(self, records: Sequence[Record]) -> Finding:
        """Return the share that is answered without a warning, and the share that could be noticed."""
        kinds = list(dict.fromkeys(record["kind"] for record in records if record["kind"] != OWN))
        rows = {kind: [record for record in records if record["kind"] == kind] for kind in (OWN, *kinds)}
        warned = {kind: _joined(rows[kind], "warned").bool() for kind in rows}
        similar = {kind: _joined(rows[kind], "similarity") for kind in rows}
        answered = ~torch.cat([warned[kind] for kind in kinds])
        own = similar[OWN][similar[OWN].isfinite()]
        threshold = float(own.double().quantile(QUANTILE)) if len(own) else math.nan
        below = {kind: similar[kind] < threshold for kind in kinds} if len(own) else {}
        words = self.subject.model.traits.words
        main = rate(
            "nonsense",
            "answered without a warning",
            answered,
            "{hits} of {count} images that show nothing the model knows are answered without a warning.",
            "Near 0.",
            baseline=~warned[OWN],
            baseline_of="the model's own images",
            of="images of noise or other things",
        )
        values, notes = [main], []
        sentence = (
            f"{percent(main.value)} of the images of noise or other things are answered without a warning."
        )
        verdict = verdict_of(main.value)
        cure = ""
        if below:
            values += self._noticed(torch.cat(list(below.values())), similar, kinds)
            detectable = values[1].value
            sentence += (
                f" Read against the {words.similarity} of known images, {percent(detectable)} could be noticed as "
                "resembling nothing known."
            )
            if verdict != "passed":
                cure = (
                    f"Warn where the {words.similarity} is below {number(threshold)}, the 1 % quantile of known "
                    "images: train or convert the model again, and its explanations do."
                    if detectable > 0.5 and not self._has_reference
                    else f"Do not rely on the {words.similarity} as a warning; reject such images before the model "
                    "sees them."
                )
            if len(own) < ENOUGH:
                notes.append(f"{len(own)} own images are too few to judge a 1 % quantile; it takes {ENOUGH}.")
            if not self._has_reference:
                notes.append(
                    "No reference is stored with this model, or one of too few images, so that its explanations do not "
                    "warn of images that resemble nothing it knows."
                )
        else:
            notes.append(
                "This model has no similarity on which a prediction rests, so that no warning can read it."
            )
            cure = "" if verdict == "passed" else "Reject such images before the model sees them."
        if FOREIGN not in kinds:
            notes.append("Images of other things were not tried: --foreign DATA.")
        details: dict[str, Any] = {
            "kinds": {
                kind: {
                    "images": len(warned[kind]),
                    "answered": float((~warned[kind]).double().mean()),
                    "detectable": float(below[kind].double().mean()) if below else None,
                    "confidence": float(_joined(rows[kind], "confidence").double().mean()),
                }
                for kind in kinds
            },
            "threshold": threshold if below else None,
        }
        return Finding(
            self.name,
            self.title,
            verdict,
            sentence,
            "The model is shown noise, single colours, checkerboards and, if given, images of other things. It knows "
            "none of them; a prediction without a warning, and with a prototype beside it, would mislead.",
            tuple(values),
            cure=cure,
            examples=self._pictures(records, threshold),
            details=details,
            notes=tuple(notes),
        )

    @property
    def _has_reference(self) -> bool:
        model = self.subject.model
        reference = model.reference if isinstance(model, PrototypeModel) else None
        return reference is not None and reference.whole is not None and reference.whole.enough

    def _noticed(self, below: Tensor, similar: dict[str, Tensor], kinds: list[str]) -> list[Value]:
        """Return the values of a warning by the deciding similarity."""
        strange = torch.cat([similar[kind] for kind in kinds]).nan_to_num()
        known = similar[OWN].nan_to_num()
        truth = [1] * len(known) + [0] * len(strange)
        auroc = float(roc_auc_score(truth, torch.cat([known, strange]).clamp(-1e30, 1e30).numpy()))
        word = self.subject.model.traits.words.similarity
        detectable = rate(
            "nonsense_detectable",
            "could be noticed",
            below,
            f"{{hits}} of {{count}} are below the 1 % quantile of the {word} of known images.",
            "Near 1: a warning would be possible.",
            better="higher",
            baseline=known < float(known.double().quantile(QUANTILE)),
            baseline_of="the model's own images",
            of="images of noise or other things",
        )
        separation = Value(
            "nonsense_auroc",
            "separation (AUROC)",
            auroc,
            "higher",
            f"A known image has a higher {word} than one of these with probability {number(auroc)}.",
            "1; at random 0.5.",
            baseline=0.5,
            baseline_of="a random order",
            count=len(strange),
            of="images of noise or other things",
            share=True,
        )
        return [detectable, separation]

    def _pictures(self, records: Sequence[Record], threshold: float) -> tuple[Example, ...]:
        """Return the most confident answer of each kind."""
        best: dict[str, dict[str, Any]] = {}
        for record in records:
            example = record.get("example")
            if example is not None and example["confidence"] >= 0:
                known = best.get(record["kind"])
                if known is None or example["confidence"] > known["confidence"]:
                    best[record["kind"]] = example
        order = sorted(best, key=lambda kind: (kind != FOREIGN, -best[kind]["confidence"]))
        return tuple(
            self._picture(kind, best[kind], threshold) for kind in order[: self.subject.settings.examples]
        )

    def _picture(self, kind: str, example: dict[str, Any], threshold: float) -> Example:
        model = self.subject.model
        name, confidence = model.spec.classes[example["class"]], percent(example["confidence"])
        panels = [Panel(as_picture(example["image"].float() / 255), kind, f"predicted {name}, {confidence}")]
        words, known = model.traits.words, ""
        if example["prototype"] is not None and isinstance(model, PrototypeModel):
            text = f"{words.similarity} {example['similarity']:.3g}"
            panels.append(prototype_panel(model, example["prototype"], words.picture, text))
            known = f" Of known images, 99 % have a {words.similarity} of at least {number(threshold)}."
        caption = (
            f"The model predicts {name} (probability {confidence}) for an image that it cannot know.{known}"
        )
        return row_example(f"{kind}: {name}?", panels, caption)


def _warned(model: Classifier, output: Output) -> Tensor:
    """Return for which images (B,) the model abstains, or its explanations say that they resemble nothing it knows."""
    warned = torch.zeros(len(output.scores), dtype=torch.bool)
    if not isinstance(model, PrototypeModel):
        return warned
    if (abstains := model.abstains(output)) is not None:
        warned |= abstains.cpu()
    return warned | torch.tensor([seen.unfamiliar for seen in familiarities(model, output)])


def _joined(records: Sequence[Record], key: str) -> Tensor:
    rows = [record[key] for record in records if key in record]
    return torch.cat(rows) if rows else torch.zeros(0)
