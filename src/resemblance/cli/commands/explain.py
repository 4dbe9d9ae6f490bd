"""``resemblance explain RUN IMAGE...``: explain the predictions for images."""

from __future__ import annotations

from pathlib import Path

from resemblance.api import explain, open_run
from resemblance.cli.console import screen
from resemblance.config.commands import ExplainCommand
from resemblance.report.explanation_page import written_file
from resemblance.runs.explained_images import list_images


def run(options: ExplainCommand) -> int:
    """Explain images: print the explanations, and write them as figures and one page."""
    with screen(options.json) as out:
        images = list_images(
            options.images
        )  # before the model is loaded, because a misspelt name is the more likely mistake
        run = open_run(options.run, allow_import=options.allow_import)
        output = options.output or (run.folder or Path()) / "explanations"
        explanations = explain(
            run,
            images,
            top=options.top,
            prototypes=options.prototypes,
            classes=options.classes,
            against=options.against,
            labels=options.label,
            maps=options.maps,
            check_maps=options.check_maps,
            abstain_below=options.abstain_below,
            conformal=options.conformal,
            output=output,
            skip_bad_images=options.skip_bad_images,
            messages=out,
        )
        for explanation in explanations:
            out.say(str(explanation))
            out.say()
        kind, path = written_file(output)
        out.say(f"{kind}: {path}")
        out.result([explanation.to_dict() for explanation in explanations])
    return 0
