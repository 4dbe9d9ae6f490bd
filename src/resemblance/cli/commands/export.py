"""``resemblance export RUN --onnx FILE``: write a model for software without this library."""

from __future__ import annotations

from resemblance.api import open_run
from resemblance.cli.console import screen
from resemblance.config.commands import ExportCommand
from resemblance.exporting import export


def run(options: ExportCommand) -> int:
    """Write the graph, check it, and print what was written."""
    with screen(options.json) as out:
        run = open_run(options.run, allow_import=options.allow_import)
        written = export(run, options.onnx, pictures=options.pictures)
        agreement = written.agreement
        out.say(f"graph: {written.graph}")
        out.say(f"  images -> {', '.join(written.outputs)}")
        out.say(
            f"  {agreement.software} computes what the model computes: {agreement.images} images, largest difference "
            f"{agreement.largest:.1e} of the largest value"
        )
        out.say(f"description: {written.description}")
        out.say(f"script: {written.script}")
        if written.pictures is not None:
            out.say(f"pictures of the prototypes: {written.pictures}")
        out.result(written.to_dict())
    return 0
