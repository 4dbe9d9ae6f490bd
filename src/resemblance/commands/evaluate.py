"""``resemblance evaluate RUN``: figures of one model."""

from __future__ import annotations

import json

from resemblance.commands.runs import choose, open_run, writable
from resemblance.commands.screen import Screen, screen
from resemblance.config.commands import EvaluateCommand
from resemblance.core.wording import percent
from resemblance.training.evaluation import Evaluation, evaluate

WIDE = 20


def run(options: EvaluateCommand) -> int:
    """Measure and print."""
    with screen(options.json) as out:
        run = open_run(options.run, options.allow_import)
        splits = run.images(options.data, options.skip_bad_images)
        for note in splits.notes:
            out.warn(note)
        name, source = choose(splits, options.split)
        found = evaluate(
            run.model, source, batch_size=options.batch_size, workers=options.workers, progress=True
        )
        _print(found, run.name, name, len(source), out)
        document = {
            "run": run.name,
            "method": run.model.name,
            "data": splits.name,
            "split": name,
            **found.to_dict(),
        }
        if options.output:
            writable(options.output.parent)
            options.output.write_text(json.dumps(document, indent=2, ensure_ascii=False), encoding="utf-8")
        out.result(document)
    return 0


def _print(found: Evaluation, run: str, split: str, images: int, out: Screen) -> None:
    out.say(f"{run}: accuracy {percent(found.accuracy)} on {images} {split} images")
