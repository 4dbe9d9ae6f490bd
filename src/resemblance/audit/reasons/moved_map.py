"""Check whether a small change of the image moves a relevance map, while prediction and prototype stay."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from resemblance.audit.attack_check import NOISE, AttackCheck, blind_notes
from resemblance.audit.attack_rates import percent, verdict_of
from resemblance.audit.audit_check import Record
from resemblance.audit.audited import AuditSubject
from resemblance.audit.finding import Example, Finding
from resemblance.audit.reasons.attack_pictures import row_example
from resemblance.audit.reasons.map_attack import above_zero, map_and_output, marked, share_inside
from resemblance.audit.reasons.shown_reasons import (
    lead,
    on_condition,
    order_of_reasons,
    relative_to,
    strengths,
)
from resemblance.config.relevance import MAP_NAMES
from resemblance.core.output import Output
from resemblance.data.inputs import as_picture, levels
from resemblance.drawing.heat import overlay
from resemblance.drawing.panel_row import Panel
from resemblance.drawing.style import AGAINST
from resemblance.metrics.since.bootstrap import mean_interval
from resemblance.metrics.since.trivial_baselines import mask_iou
from resemblance.metrics.suite.result import Value, number
from resemblance.relevance.maps import prototype_maps
from resemblance.relevance.similarity import default_kind

PASSED, FAILED = 0.3, 0.6


class MovedMap(AttackCheck):
    """Attacks the map of the prototype that is shown first; its prediction and this prototype are to stay.

    What the map marks, its highest tenth, is to lose its share of the map. Measured is how much of it is marked no
    longer, by the map that explanations show.
    """

    name: ClassVar[str] = "moved-map"
    title: ClassVar[str] = "Moved map"

    def __init__(self, subject: AuditSubject) -> None:
        super().__init__(subject)
        self.kind = default_kind(self.model)

    def examine(self, part: int) -> Record:
        """Attack one batch."""
        model, settings = self.model, self.subject.settings
        batch = self.attacked(part)
        images = batch.images
        with torch.no_grad():
            clean = model(images)
            classes = clean.scores.argmax(dim=1)
            top = order_of_reasons(model, clean, classes)[:, 0]
            which = model.evidence(clean, classes).prototypes[top]
            margin = lead(clean.scores, classes)
            ahead = lead(strengths(model, clean, classes), top)
        before = self._maps(images, which)
        mask = marked(before)

        def objective(images: Tensor) -> Tensor:
            maps, output = map_and_output(model, images, which, settings.seed)
            kept = relative_to(lead(output.scores, classes), margin)
            first = relative_to(lead(strengths(model, output, classes), top), ahead)
            return on_condition(-share_inside(maps, mask), kept, first)

        attacked = self.attack(objective, images, batch.indices)
        noisy = self.noisy(images, batch.indices, 1)
        record: Record = {"blind": attacked.blind.cpu()}
        for name, changed in (("attack", attacked.images), ("noise", noisy)):
            with torch.no_grad():
                stays = self._stays(model(changed), classes, top)
            after = self._maps(changed, which)
            record[name] = {
                "moved": (1 - mask_iou(mask, marked(after))).cpu(),
                "correlation": _correlation(before, after),
                "stays": stays.cpu(),
            }
            if name == "attack":
                record["examples"] = self._examples(
                    images, changed, before, after, classes, which, record[name]
                )
        return record

    def _maps(self, images: Tensor, which: Tensor) -> Tensor:
        maps = prototype_maps(self.model, images, which[:, None], self.kind, seed=self.subject.settings.seed)
        return above_zero(maps[:, 0], self.kind)

    def _stays(self, output: Output, classes: Tensor, top: Tensor) -> Tensor:
        first = order_of_reasons(self.model, output, classes)[:, 0]
        return (output.scores.argmax(dim=1) == classes) & (first == top)

    def _examples(
        self,
        images: Tensor,
        changed: Tensor,
        before: Tensor,
        after: Tensor,
        classes: Tensor,
        which: Tensor,
        results: dict[str, Tensor],
    ) -> dict[str, Any]:
        """Return the images whose maps moved most."""
        moved = results["moved"].nan_to_num(-1.0).masked_fill(~results["stays"], -1.0)
        rows = moved.argsort(descending=True, stable=True)[: self.subject.settings.examples]
        rows = rows[moved[rows] > 0]
        on_device = rows.to(images.device)
        return {
            "before": levels(images[on_device]),
            "after": levels(changed[on_device]),
            "maps": torch.stack([before, after], dim=1)[on_device].float().cpu(),
            "moved": moved[rows],
            "classes": classes[on_device].cpu(),
            "prototypes": which[on_device].cpu(),
        }

    def finding(self, records: Sequence[Record]) -> Finding:
        """Return how far the maps moved, beside noise."""
        words, settings = self.model.traits.words, self.subject.settings
        moved, correlation = {}, {}
        stays = {name: _joined(records, name, "stays").bool() for name in ("attack", "noise")}
        for name in ("attack", "noise"):
            moved[name] = _joined(records, name, "moved")[stays[name]]
            correlation[name] = _joined(records, name, "correlation")[stays[name]]
        left_out = {
            f"images where the prediction or the first {words.one} changed": int((~stays["attack"]).sum()),
            "images whose map is constant": int(moved["attack"].isnan().sum()),
        }
        kind = MAP_NAMES[self.kind]
        main, baseline = (float(moved[name].nanmean()) for name in ("attack", "noise"))
        count = int((~moved["attack"].isnan()).sum())
        low, high = mean_interval(moved["attack"], seed=settings.seed)
        alike, alike_baseline = (float(correlation[name].nanmean()) for name in ("attack", "noise"))
        values = (
            Value(
                "moved_map",
                "the map's highest tenth moves",
                main,
                "lower",
                f"An attack moves {percent(main)} of what the map marks, while prediction and {words.one} stay.",
                f"Near that of {NOISE}, {percent(baseline)}.",
                baseline=baseline,
                baseline_of=NOISE,
                interval=(low, high) if count > 1 else None,
                count=count,
                left_out=left_out,
                share=True,
            ),
            Value(
                "moved_map_correlation",
                "correlation of the maps",
                alike,
                "higher",
                f"The maps before and after the attack correlate with {number(alike)}.",
                f"Near that of {NOISE}, {number(alike_baseline)}.",
                baseline=alike_baseline,
                baseline_of=NOISE,
                count=count,
            ),
        )
        # What noise moves as well is no work of the attack.
        verdict = verdict_of(main, passed=max(PASSED, baseline + 0.05), failed=FAILED)
        notes = blind_notes(records)
        if self.kind != "similarity":
            notes.append(
                f"The attack follows the gradient of an estimate of {kind}, which does not see ReLUs that switch: a "
                "stronger attack may move the map further."
            )
        return Finding(
            self.name,
            self.title,
            verdict,
            f"A change of at most {self.grey_levels} moves {percent(main)} of what the "
            f"{kind} of the first {words.one} marks, while prediction and {words.one} stay; random noise of this "
            f"size, {percent(baseline)}.",
            f"An attack looks for a change that nobody sees, by which the model still predicts the same class by the "
            f"same {words.one}, but the map marks other pixels. Where it succeeds, the map does not show what the "
            "prediction rests on. Moved is 1 − intersection over union of the highest tenth of the pixels.",
            values,
            cure=""
            if verdict in ("passed", "information")
            else "Check maps by deletion before they are shown, and average them over noisy copies of the image.",
            examples=self._pictures(records),
            notes=tuple(notes),
        )

    def _pictures(self, records: Sequence[Record]) -> tuple[Example, ...]:
        pictures: list[tuple[float, Example]] = []
        for shown in (record["examples"] for record in records):
            for row, (label, index) in enumerate(
                zip(shown["classes"].tolist(), shown["prototypes"].tolist(), strict=True)
            ):
                pictures.append((float(shown["moved"][row]), self._picture(shown, row, label, index)))
        pictures.sort(key=lambda pair: -pair[0])
        return tuple(picture for _, picture in pictures[: self.subject.settings.examples])

    def _picture(self, shown: dict[str, Any], row: int, label: int, index: int) -> Example:
        name, moved = self.model.spec.classes[label], float(shown["moved"][row])
        word = f"{self.model.traits.words.one} {index}"
        images = [as_picture(shown[key][row].float() / 255) for key in ("before", "after")]
        tenths = marked(shown["maps"][row]).float().numpy()  # brighter than a map of many shades
        maps = [overlay(image, tenth) for image, tenth in zip(images, tenths, strict=True)]
        panels = [
            Panel(images[0], "image", f"predicted {name}"),
            Panel(maps[0], f"map of {word}", "its highest tenth"),
            Panel(images[1], "changed image", f"predicted {name}", begins=True),
            Panel(maps[1], f"map of {word}", f"{percent(moved)} of the highest tenth moved", AGAINST),
        ]
        caption = f"Prediction and {word} are the same before and after, but the map marks other pixels."
        return row_example(f"{name}: the map moves", panels, caption)


def _correlation(first: Tensor, second: Tensor) -> Tensor:
    """Return Pearson's correlation of maps (B, H, W), (B,) on the CPU; NaN where one is constant."""
    a, b = (maps.cpu().double().flatten(1) for maps in (first, second))
    a, b = a - a.mean(dim=1, keepdim=True), b - b.mean(dim=1, keepdim=True)
    size = (a.square().sum(dim=1) * b.square().sum(dim=1)).sqrt()
    return (a * b).sum(dim=1) / size


def _joined(records: Sequence[Record], name: str, key: str) -> Tensor:
    """Return what all parts recorded, (N,)."""
    rows = [record[name][key] for record in records]
    return torch.cat(rows) if rows else torch.zeros(0, dtype=torch.float64)
