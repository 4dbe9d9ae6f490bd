"""Check whether the class can change while the reasons that are shown stay."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from resemblance.audit.attack_check import NOISE, AttackCheck, blind_notes
from resemblance.audit.attack_rates import percent, rate, verdict_of
from resemblance.audit.audit_check import Record
from resemblance.audit.finding import Example, Finding
from resemblance.audit.reasons.attack_pictures import change_panels, prototype_panel, row_example
from resemblance.audit.reasons.shown_reasons import BARRIER, BUFFER, lead, relative_to
from resemblance.core.output import Output
from resemblance.data.inputs import levels

SHOWN = 5  # the reasons that an explanation shows


def most_similar(output: Output, count: int = SHOWN) -> Tensor:
    """Return the prototypes most similar to each image in their order, (B, min(count, P)); ties to the lower index."""
    return output.similarities.argsort(dim=1, descending=True, stable=True)[:, :count]


class SameReasons(AttackCheck):
    """Attacks the class while the five most similar prototypes are to stay, in their order.

    The attack lowers the lead of the predicted class over the next one, and penalises each change of the five
    similarities. The lead takes the place of the cross entropy, whose gradient vanishes where a model is certain. Each
    image is also attacked without the penalty, in the same batch, for the share of classes that can be changed at all.
    """

    name: ClassVar[str] = "same-reasons"
    title: ClassVar[str] = "Same reasons, other class"

    def examine(self, part: int) -> Record:
        """Attack one batch."""
        model, settings = self.model, self.subject.settings
        batch = self.attacked(part)
        images, indices = batch.images.repeat(2, 1, 1, 1), batch.indices.repeat(2)
        penalised = torch.arange(len(images), device=images.device) < len(batch.images)
        with torch.no_grad():
            clean = model(images)
            classes, shown = clean.scores.argmax(dim=1), most_similar(clean)
            margin, similarities = lead(clean.scores, classes), clean.similarities.gather(1, shown)
            # The unit of a change: how far the similarities of the prototypes lie apart.
            scale = clean.similarities.std(dim=1, correction=0, keepdim=True).clamp_min(1e-6)

        def objective(images: Tensor) -> Tensor:
            output = model(images)
            held = relative_to(lead(output.scores, classes), margin)
            change = ((output.similarities.gather(1, shown) - similarities) / scale).abs().mean(dim=1)
            flipped = output.scores.argmax(dim=1) != classes
            same = (most_similar(output) == shown).all(dim=1)
            # Best is a flip with the same reasons, then any flip; a flip is pushed no further than it needs.
            reached = BARRIER * (flipped.float() + (flipped & same))
            value: Tensor = reached - (held + BUFFER).clamp_min(0) - change * penalised
            return value

        attacked = self.attack(objective, images, indices)
        noisy = torch.cat([self.noisy(batch.images, batch.indices, number) for number in (1, 2)])
        half = len(batch.images)
        record: Record = {"blind": attacked.blind.reshape(2, half).all(dim=0).cpu()}
        with torch.no_grad():
            for name, changed in (("attack", attacked.images), ("noise", noisy)):
                output = model(changed)
                now = output.scores.argmax(dim=1)
                same = (most_similar(output) == shown).all(dim=1)
                record[name] = {
                    "flipped": (now != classes).reshape(2, half).any(dim=0).cpu(),
                    "hit": ((now != classes) & same).reshape(2, half).any(dim=0).cpu(),
                }
                if name == "attack":
                    rows = ((now != classes) & same & penalised).nonzero()[: settings.examples, 0]
                    record["examples"] = {
                        "before": levels(images[rows]),
                        "after": levels(changed[rows]),
                        "classes": torch.stack([classes, now], dim=1)[rows].cpu(),
                        "shown": shown[rows].cpu(),
                        "similarities": torch.stack(
                            [similarities[rows], output.similarities.gather(1, shown)[rows]], dim=1
                        ).cpu(),
                    }
        return record

    def finding(self, records: Sequence[Record]) -> Finding:
        """Return the shares of images whose class changed, with the same reasons and with any."""
        words = self.model.traits.words
        rows = {
            name: {
                key: torch.cat([record[name][key] for record in records])
                if records
                else torch.zeros(0, dtype=torch.bool)
                for key in ("flipped", "hit")
            }
            for name in ("attack", "noise")
        }
        count = min(SHOWN, len(self.model.prototypes))
        most = (
            f"{count} most similar {words.many}"
            if words.similarity == "similarity"
            else f"first {words.many}"
        )
        main = rate(
            "same_reasons",
            "the class changes, the reasons stay",
            rows["attack"]["hit"],
            f"For {{hits}} of {{count}} images the class changes, while the {most} are the same in the same order.",
            f"0: who sees the same {words.many} may expect the same class.",
            baseline=rows["noise"]["hit"],
            baseline_of=NOISE,
        )
        flips = rate(
            "same_reasons_class_changed",
            "the class changes",
            rows["attack"]["flipped"],
            "For {hits} of {count} images an attack changes the class, whatever the reasons.",
            f"Near 0, and near the rate of {NOISE}.",
            baseline=rows["noise"]["flipped"],
            baseline_of=NOISE,
        )
        verdict = verdict_of(main.value)
        notes = blind_notes(records)
        if verdict == "passed" and flips.value > 2 * max(main.value, 0.05):
            notes.append(
                f"The class does change for {percent(flips.value)} of the images, but then other {words.many} are "
                "shown: the change can be noticed."
            )
        return Finding(
            self.name,
            self.title,
            verdict,
            f"A change of at most {self.grey_levels} changes the class of "
            f"{percent(main.value)} of the images while the {most} stay; of {percent(flips.value)}, if these may "
            "change too.",
            "An attack looks for a change that nobody sees, by which the model predicts another class and still shows "
            f"the same {words.many} in the same order. Where it succeeds, the {words.many} shown do not tell what "
            "decided.",
            (main, flips),
            cure=""
            if verdict == "passed"
            else "Show the contributions to both classes and the score they add up to, not the most similar "
            f"{words.many} alone; train with adversarial examples.",
            examples=self._pictures(records),
            notes=tuple(notes),
        )

    def _pictures(self, records: Sequence[Record]) -> tuple[Example, ...]:
        pictures: list[Example] = []
        names, words = self.model.spec.classes, self.model.traits.words
        for shown in (record["examples"] for record in records):
            for row, (old, new) in enumerate(shown["classes"].tolist()):
                if len(pictures) == self.subject.settings.examples:
                    return tuple(pictures)
                panels = change_panels(
                    shown["before"][row],
                    shown["after"][row],
                    f"predicted {names[old]}",
                    f"predicted {names[new]}",
                    changed=True,
                )
                before, after = shown["similarities"][row].tolist()
                panels += [
                    self._reason(number, index, before[number], after[number])
                    for number, index in enumerate(shown["shown"][row].tolist())
                ]
                caption = (
                    f"The prediction changes from {names[old]} to {names[new]}; the most similar {words.many} are the "
                    "same, in the same order."
                )
                pictures.append(row_example(f"{names[old]} becomes {names[new]}", panels, caption))
        return tuple(pictures)

    def _reason(self, number: int, index: int, before: float, after: float) -> Any:
        words = self.model.traits.words
        text = f"{words.similarity} {before:.3g} → {after:.3g}"
        return prototype_panel(self.model, index, f"{number + 1}. before and after", text)
