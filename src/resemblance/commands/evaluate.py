"""``resemblance evaluate RUN``: figures of one model."""

from __future__ import annotations

import json

from resemblance.commands.runs import Run, choose, make_folder, open_run
from resemblance.commands.screen import Screen, screen, share
from resemblance.config.commands import EvaluateCommand
from resemblance.training.evaluation import Evaluation, evaluate

WIDE = 20


def run(options: EvaluateCommand) -> int:
    """Measure and print."""
    with screen(options.json) as out:
        if options.output:
            make_folder(options.output.parent)
        run = open_run(options.run, options.allow_import, options.accelerator)
        splits = run.images(options.data, options.skip_bad_images)
        for note in splits.notes:
            out.warn(note)
        name, source = choose(splits, options.split)
        found = evaluate(
            run.model, source, batch_size=options.batch_size, workers=options.workers, progress=True
        )
        _print(found, run, name, out)
        document = {
            "run": run.name,
            "method": run.model.name,
            "data": splits.name,
            "split": name,
            **found.to_dict(),
        }
        if options.output:
            options.output.write_text(json.dumps(document, indent=2, ensure_ascii=False), encoding="utf-8")
        out.result(document)
    return 0


def _print(found: Evaluation, run: Run, split: str, out: Screen) -> None:
    out.say(f"{run.name}: {share(found.accuracy)} of {found.images} {split} images told rightly")
    before = found.black_box
    if before is None:
        before = (run.model.facts.get("black_box") or {}).get(split)
    if before is not None:
        out.say(f"black box: {share(before)}, gap {100 * (before - found.accuracy):+.2f} points")
    for label, value in found.measured.items():
        out.say(f"{label}: {share(value)}")
    if found.unused is not None:
        names = ": " + ", ".join(map(str, found.unused)) if found.unused else ""
        out.say(f"prototypes: {found.prototypes}, {len(found.unused)} of them unused{names}")
    out.say()
    columns = ("class", "images", "precision", "recall", "F1")
    out.table(
        columns,
        [
            (row["class"], row["images"], *(_share(row[key]) for key in ("precision", "recall", "f1")))
            for row in found.per_class()
        ],
    )
    out.say()
    if len(found.classes) <= WIDE:
        rows = [(name, *counts) for name, counts in zip(found.classes, found.confusion.tolist(), strict=True)]
        out.table(("true \\ told", *found.classes), rows)


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
