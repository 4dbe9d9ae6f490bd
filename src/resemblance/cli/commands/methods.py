"""``resemblance methods``: list the methods, without importing their models."""

from __future__ import annotations

from resemblance.cli.console import screen
from resemblance.config.commands import MethodsCommand
from resemblance.methods.registry import method_configs


def run(options: MethodsCommand) -> int:
    """List the methods, each with one line of description and its citation."""
    with screen(options.json) as out:
        methods = method_configs()
        for name, config in methods.items():
            out.say(f"{name:<14}{config.line}")
            out.say(f"{'':<14}{config.citation}")
            if len(config.variants) > 1:
                out.say(f"{'':<14}variants: {', '.join(config.variants)}")
        out.result(
            [
                {
                    "name": name,
                    "line": config.line,
                    "citation": config.citation,
                    "variants": list(config.variants),
                }
                for name, config in methods.items()
            ]
        )
    return 0
