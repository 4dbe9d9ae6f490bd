"""``resemblance convert MODEL``: convert a trained classifier into a self-explaining one."""

from __future__ import annotations

from dataclasses import fields

from resemblance.api import convert
from resemblance.cli.console import screen
from resemblance.cli.finished import show_finished
from resemblance.config.commands import ConvertCommand
from resemblance.config.runs import ConvertOptions


def run(options: ConvertCommand) -> int:
    """Measure the classifier, convert it, measure again, save and report."""
    keywords = {item.name: getattr(options, item.name) for item in fields(ConvertOptions)}
    with screen(options.json) as out:
        show_finished(convert(messages=out, **keywords), out)
    return 0
