"""``resemblance explain RUN IMAGE...``: explain the predictions for images, or for folders of them."""

from __future__ import annotations

from pathlib import Path

from resemblance.api import open_run
from resemblance.cli.console import Screen, screen
from resemblance.config.commands import FEW, ExplainCommand
from resemblance.config.errors import UserError
from resemblance.data.sources.image_list import list_images
from resemblance.explain.many.explanation_table import TABLE
from resemblance.explain.many.tally import GROUPS, Tally
from resemblance.explain.text import headline
from resemblance.explaining import explain_each

LINES = 20  # misclassified images that are printed


def run(options: ExplainCommand) -> int:
    """Explain images: print the explanations or their counts, and write tables, figures and one page.

    As JSON, the explanations are only printed, unless an output is named.
    """
    with screen(options.json) as out:
        # Before the model is loaded, because a misspelt name is the more likely mistake.
        images = list_images(options.images)
        if options.labels is not None and options.label is not None:
            raise UserError("--labels and --label both say what the images show; leave out one of them")
        run = open_run(options.run, allow_import=options.allow_import, accelerator=options.accelerator)
        output = options.output
        if output is None and not options.json:
            output = (run.folder or Path()) / "explanations"
        explanations = explain_each(
            run,
            images,
            top=options.top,
            prototypes=options.prototypes,
            classes=options.classes,
            against=options.against,
            labels=options.labels or options.label,
            maps=options.maps,
            check_maps=options.check_maps,
            abstain_below=options.abstain_below,
            conformal=options.conformal,
            figures=options.figures,
            output=output,
            skip_bad_images=options.skip_bad_images,
            batch_size=options.batch_size,
            accelerator=options.accelerator,
            progress=True,
            messages=out,
        )
        tally, documents, wrong = Tally(), [], []
        for explanation in explanations:
            tally.add(explanation)
            if options.json:
                documents.append(explanation.to_dict())
            if len(images) <= FEW:
                out.say(str(explanation))
                out.say()
            elif GROUPS["wrong"](explanation):
                wrong.append(f"{explanation.name}: {headline(explanation)}")
        _print_wrong(wrong, out)
        if len(images) > 1:
            out.say(tally.sentence())
        if output is not None:
            from resemblance.report.explanation_page import written_file  # matplotlib takes a second

            kind, path = written_file(output)
            out.say(f"{kind}: {path}")
        out.result(documents)
    return 0


def _print_wrong(lines: list[str], out: Screen) -> None:
    for line in lines[:LINES]:
        out.say(line)
    if len(lines) > LINES:
        out.say(f"and {len(lines) - LINES} more misclassified images, see {TABLE}")
