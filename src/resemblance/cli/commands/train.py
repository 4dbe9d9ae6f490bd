"""``resemblance train METHOD``: train a model on a folder of images, and write a report."""

from __future__ import annotations

from dataclasses import fields

from resemblance.api import train
from resemblance.cli.console import screen
from resemblance.cli.finished import show_finished
from resemblance.config.commands import TrainCommand
from resemblance.config.runs import TrainOptions


def run(options: TrainCommand) -> int:
    """Train, measure, save and report."""
    keywords = {item.name: getattr(options, item.name) for item in fields(TrainOptions)}
    with screen(options.json) as out:
        show_finished(train(options.name, config=options.method, messages=out, **keywords), out)
    return 0
