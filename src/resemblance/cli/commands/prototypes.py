"""``resemblance prototypes RUN``: list and draw the prototypes of a model."""

from __future__ import annotations

from resemblance.api import open_run
from resemblance.cli.console import screen
from resemblance.config.commands import PrototypesCommand
from resemblance.config.errors import UserError
from resemblance.core.prototype_model import PrototypeModel
from resemblance.explain.prototype_view import prototype_views
from resemblance.explain.request import class_index
from resemblance.explain.rounding import percent
from resemblance.report.figure_files import save_figure
from resemblance.report.gallery_figure import gallery_figure

LISTED = 200  # the largest number of prototypes that are printed


def run(options: PrototypesCommand) -> int:
    """List the prototypes with their classes, importance and source, and draw them."""
    with screen(options.json) as out:
        run = open_run(options.run, allow_import=options.allow_import)
        model, words = run.model, run.model.traits.words
        if not isinstance(model, PrototypeModel):
            raise UserError(
                f"{run.name} is a {model.name} model and has no prototypes; try: resemblance convert {options.run}"
            )
        classes = list(model.spec.classes)
        if options.classes and not words.owned:
            raise UserError(
                f"{run.name}: the {words.many} of {model.name} belong to no class; leave out --classes"
            )
        if options.classes:
            classes = [classes[class_index(model, name)] for name in options.classes]
        views = [
            view for view in prototype_views(model) if not options.classes or set(view.classes) & set(classes)
        ]

        title = f"{run.name}: {words.many}"
        path = save_figure(
            gallery_figure(views, classes, title=title), run.output_path(options.output, "prototypes.png")
        )
        rows = [
            (
                view.index,
                *([view.owner] if words.owned else []),
                "?" if view.importance is None else percent(view.importance),
                "decoded; nearest: " + view.source_name if view.decoded else view.source_name,
                "" if view.box is None else ",".join(map(str, view.box)),
            )
            for view in views[:LISTED]
        ]
        columns = (
            words.one,
            *(["class"] if words.owned else []),
            "importance" if words.rivals else "share" if words.counted else "largest in",
        )
        out.table((*columns, "source", "box x0,y0,x1,y1"), rows)
        if len(views) > LISTED:
            out.say(f"… and {len(views) - LISTED} more (--classes or --json shows them)")
        unused = [view.index for view in views if view.unused]
        if unused:
            out.say(
                f"unused (not the most similar one for any training image): {', '.join(map(str, unused))}"
            )
        out.say(f"gallery: {path}")
        out.result({"run": run.name, "method": model.name, "prototypes": [view.to_dict() for view in views]})
    return 0
