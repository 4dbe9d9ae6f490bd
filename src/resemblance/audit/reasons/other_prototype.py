"""Check whether a small change of the image exchanges the prototype that is shown, while the class stays."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any, ClassVar

import torch
from torch import Tensor

from resemblance.audit.attack_check import NOISE, AttackCheck, blind_notes
from resemblance.audit.attack_rates import percent, rate, verdict_of
from resemblance.audit.audit_check import Record
from resemblance.audit.audited import AuditSubject, no_correct_image
from resemblance.audit.finding import Example, Finding
from resemblance.audit.reasons.attack_pictures import change_panels, prototype_panel, row_example
from resemblance.audit.reasons.shown_reasons import (
    candidates,
    lead,
    on_condition,
    order_of_reasons,
    relative_to,
    strengths,
)
from resemblance.core.output import Output
from resemblance.data.inputs import levels
from resemblance.drawing.style import AGAINST
from resemblance.metrics.suite.model_subject import no_gradient, no_prototypes

AIMS = ("runner-up", "least alike")


def no_choice(subject: AuditSubject) -> str | None:
    """Explain that no class has a second prototype that could be shown, if so."""
    model = subject.explains
    assert model is not None
    owners = model.prototypes.owners
    tree = model.traits.score_kind == "probability" and len(owners) > 1
    if len(owners) < 2:
        return f"this {model.name} has a single {model.traits.words.one}"
    if owners.any() and int(owners.sum(dim=0).max()) < 2 and not tree:
        return f"every class has a single {model.traits.words.one}, so that no other one can be shown"
    return None


class OtherPrototype(AttackCheck):
    """Attacks the first reason: another prototype of the class is to be shown instead, and the class is to stay.

    Each image is attacked twice: towards the runner-up, and towards the prototype of the class that is least alike to
    the one shown, by the model's own comparison of its prototypes. Both attacks are one batch.
    """

    name: ClassVar[str] = "other-prototype"
    title: ClassVar[str] = "Another prototype"
    needs = (no_prototypes, no_gradient, no_choice, no_correct_image)

    @cached_property
    def _alike(self) -> Tensor | None:
        with torch.no_grad():
            alike = self.model.prototype_similarities()
        return None if alike is None else alike.to(self.model.device)

    def examine(self, part: int) -> Record:
        """Attack one batch."""
        model = self.model
        batch = self.attacked(part)
        with torch.no_grad():
            clean = model(batch.images)
            classes = clean.scores.argmax(dim=1)
            top = order_of_reasons(model, clean, classes)[:, 0]
            others = candidates(model, clean, classes, top)
            usable = others.any(dim=1)
            aims = self._aims(clean, classes, top, others)[:, usable].flatten()
        twice = [
            values[usable].repeat(2, *[1] * (values.dim() - 1)) for values in (batch.images, classes, top)
        ]
        images, classes, top = twice
        indices = batch.indices[usable].repeat(2)
        with torch.no_grad():
            before = model(images)
            gap = lead(strengths(model, before, classes), aims)
            margin = lead(before.scores, classes)

        def objective(images: Tensor) -> Tensor:
            output = model(images)
            towards = relative_to(lead(strengths(model, output, classes), aims), gap)
            return on_condition(towards, relative_to(lead(output.scores, classes), margin))

        attacked = self.attack(objective, images, indices)
        half = len(images) // 2
        noisy = torch.cat([self.noisy(images[:half], indices[:half], number) for number in (1, 2)])
        record: Record = {
            "left_out": int((~usable).sum()),
            "blind": attacked.blind.reshape(2, half).all(dim=0).cpu(),
        }
        with torch.no_grad():
            for name, changed in (("attack", attacked.images), ("noise", noisy)):
                output = model(changed)
                now = order_of_reasons(model, output, classes)[:, 0]
                record[name] = {
                    "other": self._differ(output, classes, top, now).reshape(2, half).cpu(),
                    "aimed": (now == aims).reshape(2, half).cpu(),
                    "kept": (output.scores.argmax(dim=1) == classes).reshape(2, half).cpu(),
                }
                if name == "attack":
                    record["examples"] = self._examples(images, changed, before, output, classes, top, now)
        return record

    def _aims(self, output: Output, classes: Tensor, top: Tensor, others: Tensor) -> Tensor:
        """Return the reasons (2, B) that the attacks aim at, in the order of `AIMS`."""
        values = strengths(self.model, output, classes)
        runner_up = values.masked_fill(~others, -torch.inf).argmax(dim=1)
        if self._alike is None:
            far = values
        else:
            reasons = self.model.evidence(output, classes).prototypes
            far = self._alike[reasons[top]][:, reasons].nan_to_num(torch.inf)
        return torch.stack([runner_up, far.masked_fill(~others, torch.inf).argmin(dim=1)])

    def _differ(self, output: Output, classes: Tensor, top: Tensor, now: Tensor) -> Tensor:
        """Return where another prototype, or another path, is shown first, (B,)."""
        evidence = self.model.evidence(output, classes)
        if evidence.paths is not None:
            return top != now
        return evidence.prototypes[top] != evidence.prototypes[now]

    def _examples(
        self,
        images: Tensor,
        changed: Tensor,
        before: Output,
        after: Output,
        classes: Tensor,
        top: Tensor,
        now: Tensor,
    ) -> dict[str, Any]:
        """Return what pictures show of the first images whose prototype was exchanged; the least alike comes first."""
        success = self._differ(after, classes, top, now) & (after.scores.argmax(dim=1) == classes)
        aim, row = success.reshape(2, -1).flip(0).nonzero(as_tuple=True)
        first = torch.unique(row)[: self.subject.settings.examples]
        half = len(images) // 2
        rows = torch.tensor([int(r) + (0 if aim[row == r][0] else half) for r in first], dtype=torch.int64)
        rows = rows.to(images.device)
        values = [strengths(self.model, output, classes)[rows] for output in (before, after)]
        evidence = self.model.evidence(after, classes)
        pairs = torch.stack([top[rows], now[rows]], dim=1)
        return {
            "before": levels(images[rows]),
            "after": levels(changed[rows]),
            "classes": classes[rows].cpu(),
            "prototypes": evidence.prototypes[pairs].cpu(),
            "weighted": self.model.traits.order == "contribution" and evidence.weights is not None,
            "strengths": torch.stack([value.gather(1, pairs) for value in values], dim=1).cpu(),
        }

    def finding(self, records: Sequence[Record]) -> Finding:
        """Return the shares of images whose prototype was exchanged."""
        words = self.model.traits.words
        rows = {
            name: {key: _joined(records, name, key) for key in ("other", "aimed", "kept")}
            for name in ("attack", "noise")
        }
        held = {name: (row["other"] & row["kept"]).any(dim=0) for name, row in rows.items()}
        any_class = {name: row["other"].any(dim=0) for name, row in rows.items()}
        far = {name: (row["aimed"] & row["kept"])[1] for name, row in rows.items()}
        left_out = {f"images whose class has one {words.one}": sum(int(r["left_out"]) for r in records)}
        good = f"Near 0: what is shown depends on what can be seen, and near the rate of {NOISE}."
        main = rate(
            "other_prototype",
            f"another {words.one} is shown",
            held["attack"],
            f"For {{hits}} of {{count}} images another {words.one} of the class is shown, and the prediction stays.",
            good,
            baseline=held["noise"],
            baseline_of=NOISE,
            left_out=left_out,
        )
        values = (
            main,
            rate(
                "other_prototype_any_prediction",
                "the same, whatever the prediction",
                any_class["attack"],
                f"For {{hits}} of {{count}} images another {words.one} is shown, if the prediction may change.",
                good,
                baseline=any_class["noise"],
                baseline_of=NOISE,
                left_out=left_out,
            ),
            rate(
                "other_prototype_least_alike",
                f"the least similar {words.one} is shown",
                far["attack"],
                f"For {{hits}} of {{count}} images the {words.one} of the class that is least similar to the one shown "
                "takes its place.",
                good,
                baseline=far["noise"],
                baseline_of=NOISE,
                left_out=left_out,
            ),
        )
        verdict = verdict_of(main.value)
        return Finding(
            self.name,
            self.title,
            verdict,
            f"A change of at most {self.grey_levels} exchanges the {words.one} shown first for "
            f"{percent(main.value)} of the images, while the prediction stays; random noise of this size for "
            f"{percent(float('nan') if main.baseline is None else main.baseline)}.",
            f"An attack looks for a change that nobody sees, by which the model still predicts the same class, but for "
            f"another {words.one} of that class. Where it succeeds, the {words.one} shown is one of several that fit "
            "equally well, and says little about what is special in the image.",
            values,
            cure=""
            if verdict == "passed"
            else f"Show several {words.many} instead of the first one, use fewer {words.many} per class, or train "
            "with adversarial examples.",
            examples=self._pictures(records),
            notes=tuple(blind_notes(records)),
        )

    def _pictures(self, records: Sequence[Record]) -> tuple[Example, ...]:
        classes, words = self.model.spec.classes, self.model.traits.words
        pictures: list[Example] = []
        for shown in (record["examples"] for record in records):
            for row, label in enumerate(shown["classes"].tolist()):
                if len(pictures) == self.subject.settings.examples:
                    return tuple(pictures)
                old, new = shown["prototypes"][row].tolist()
                (a, b), (c, d) = shown["strengths"][row].tolist()
                name, number = classes[label], "contribution" if shown["weighted"] else words.similarity
                said = f"predicted {name}"
                panels = [
                    *change_panels(shown["before"][row], shown["after"][row], said, said),
                    prototype_panel(self.model, old, "shown before", f"{number} {a:.3g} → {c:.3g}"),
                    prototype_panel(
                        self.model, new, "shown afterwards", f"{number} {b:.3g} → {d:.3g}", AGAINST
                    ),
                ]
                caption = (
                    f"The prediction is {name} before and after, but the first {words.one} is another one."
                )
                pictures.append(row_example(f"{name}: another {words.one}", panels, caption))
        return tuple(pictures)


def _joined(records: Sequence[Record], name: str, key: str) -> Tensor:
    """Return what all parts recorded, (2, N) bool."""
    rows = [record[name][key] for record in records]
    return torch.cat(rows, dim=1) if rows else torch.zeros(2, 0, dtype=torch.bool)
