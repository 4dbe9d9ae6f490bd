"""Read the options of ``resemblance sweep``: its own, and those of the training or conversion that is repeated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import MISSING, fields
from typing import Any

from resemblance.cli.arguments import IMPORT_HELP, parse
from resemblance.cli.parser import options_of
from resemblance.config.errors import UserError
from resemblance.config.experiments.sweep_command import SweepCommand
from resemblance.config.runs import ConvertOptions, TrainOptions
from resemblance.config.values import near
from resemblance.methods.registry import get_config, method_configs
from resemblance.printing.lines import say

CONVERT = "convert"
USAGE = """\
usage: resemblance sweep METHOD --over OPTION=A,B,... --data DATA [options]
       resemblance sweep convert MODEL --over OPTION=A,B,... [options]

Train a method, or convert a model, with all combinations of some options.

resemblance sweep METHOD --help and resemblance sweep convert --help show the options."""


def sweep_options(words: Sequence[str]) -> SweepCommand:
    """Read the words after ``resemblance sweep``.

    Returns:
        The options of the sweep; ``verb``, ``subject`` and ``common`` say what is repeated, with which options.

    Raises:
        UserError: in one line, for the first word that is not valid.
        SystemExit: after printing the help.

    Example:
        >>> options = sweep_options(["kmex", "--over", "rate=1,2", "--data", "digits", "--encoder", "small"])
        >>> options.verb, options.subject, options.over, options.common
        ('train', 'kmex', ['rate=1,2'], {'data': 'digits', 'encoder': 'small'})
    """
    name = words[0] if words else "--help"
    if name in ("-h", "--help"):
        say(f"{USAGE}\n\n{IMPORT_HELP}")
        raise SystemExit(0)
    known = [CONVERT, *method_configs()]
    if name not in known:
        problem = (
            "sweep needs a method first, or convert" if name.startswith("-") else f"unknown method {name!r}"
        )
        raise UserError(f"{problem}{near(name, known)} (see resemblance sweep --help)")
    configs = _configs(name)
    prog = f"resemblance sweep {name}"
    text = f"{(SweepCommand.__doc__ or '').strip()} The other options are those of one run."
    options, *others = parse(prog, text, words[1:], SweepCommand, *configs, epilog=IMPORT_HELP)
    common: dict[str, Any] = {}
    for config in others:
        common |= _given(config)
    for own in ("model", *(item.name for item in fields(SweepCommand))):
        common.pop(own, None)
    options.verb = CONVERT if name == CONVERT else "train"
    options.subject = others[0].model if name == CONVERT else name
    options.common = common
    return options  # type: ignore[no-any-return]


def check_words(words: Sequence[str]) -> None:
    """Read the words of one run of a sweep as its command will, so that mistakes are found before the first run.

    Raises:
        UserError: in one line.
    """
    name = CONVERT if words[0] == CONVERT else words[1]
    parse(f"resemblance {words[0]}", "", words[1:] if name == CONVERT else words[2:], *_configs(name))


def options_that_vary(name: str) -> list[str]:
    """Return the names of the options that a sweep of a method, or of ``convert``, can vary."""
    return [option.name for option in options_of(*_configs(name)) if option.flags]


def _configs(name: str) -> list[type[Any]]:
    return [ConvertOptions] if name == CONVERT else [TrainOptions, get_config(name)]


def _given(config: Any) -> dict[str, Any]:
    """Return the options that differ from their defaults."""
    given = {}
    for item in fields(config):
        if "help" not in item.metadata:
            continue
        default = item.default if item.default_factory is MISSING else item.default_factory()
        value = getattr(config, item.name)
        if value != default:
            given[item.name] = list(value) if isinstance(value, tuple) else value
    return given
