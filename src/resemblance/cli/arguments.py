"""Read the options of a command into dataclasses, from the command line and from YAML files."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from dataclasses import fields
from types import NoneType
from typing import Any

from resemblance.cli.parser import Option, help_text, options_of, parser_for
from resemblance.config.errors import UserError
from resemblance.config.files.options_file import read_options
from resemblance.config.values import check_fields, convert, near
from resemblance.printing.lines import say

# Keys of a run's config.yaml that are not options; --config ignores them, so that it reads the file unchanged.
RECORD = ("command", "method", "split_seed", "versions")

IMPORT_HELP = """\
--import PACKAGE.MODULE, before or after the command, imports a module with methods or kinds of data of
your own; it may be repeated"""


def parse(
    prog: str, description: str, arguments: Sequence[str], *configs: type[Any], epilog: str = ""
) -> list[Any]:
    """Read the arguments into one instance of each dataclass.

    The value of an option is taken from the command line, else from the last file given by ``--config`` that has it,
    else it is the default of the field.

    Args:
        prog: the command, as the usage line shows it.
        description: the description of the command in its help.
        arguments: the words after the command.
        configs: dataclasses whose fields are the options.
        epilog: the last paragraph of the help.

    Raises:
        UserError: in one line, for the first option that is not valid.
        SystemExit: after printing the help.

    Example:
        >>> from resemblance.config.commands import EvaluateCommand
        >>> [options] = parse("evaluate", "", ["runs/a", "--batch-size", "64", "runs/b"], EvaluateCommand)
        >>> options.runs, options.batch_size, options.split
        (['runs/a', 'runs/b'], 64, 'auto')
    """
    options = options_of(*configs)
    parser = parser_for(options)
    try:
        typed, words = _split(parser, options, arguments)
        if typed.pop("help", False):
            say(help_text(prog, description, options, parser, epilog).rstrip("\n"))
            raise SystemExit(0)
        files = typed.pop("config", [])
        typed |= _assign(words, options)
        values = _from_files(files, options) | _from_words(typed, options)
        missing = [one.shown for one in options if _required(one) and values.get(one.name) in (None, [])]
        if missing:
            raise _UsageError(f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing")
    except _UsageError as error:
        raise UserError(f"{error} (see {prog} --help)") from None
    instances = [
        config(**{f.name: values[f.name] for f in fields(config) if f.name in values}) for config in configs
    ]
    for instance in instances:
        check_fields(instance)
    return instances


class _UsageError(Exception):
    """A mistake that the command's help explains."""


def _split(
    parser: argparse.ArgumentParser, options: Sequence[Option], arguments: Sequence[str]
) -> tuple[dict[str, Any], list[str]]:
    """Return the text of each option that is given, and the positional words, which include all words after ``--``."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    try:
        typed, words = parser.parse_known_args(_joined(options, arguments[:end]))
    except (
        argparse.ArgumentError
    ) as error:  # without `type` and `choices`, only the number of values can be wrong
        takes_one = {"--config", *(word for one in options if not one.switch for word in one.flags)}
        problem = "needs a value" if error.argument_name in takes_one else "takes no value"
        raise _UsageError(f"{error.argument_name} {problem}") from None
    for word in words:
        if word.startswith("-") and word != "-":
            name = word.partition("=")[0]
            flags = ["--config", "--help", *(word for one in options for word in one.flags)]
            raise _UsageError(f"unknown option {name!r}{near(name, flags)}")
    return vars(typed), [*words, *arguments[end + 1 :]]


def _joined(options: Sequence[Option], arguments: Sequence[str]) -> list[str]:
    """Join an option and numbers that begin with a minus, ``--window -160,240``: argparse takes these for an option."""
    takes_one = {word for one in options if not one.switch for word in one.flags}
    joined: list[str] = []
    for word in arguments:
        if joined and joined[-1] in takes_one and re.match(r"-\.?\d", word):
            joined[-1] += f"={word}"
        else:
            joined.append(word)
    return joined


def _assign(words: Sequence[str], options: Sequence[Option]) -> dict[str, Any]:
    """Assign words to the positional options, in their order."""
    assigned: dict[str, Any] = {}
    left = list(words)
    for option in options:
        if option.positional and left:
            count = len(left) if option.many else 1
            assigned[option.name] = left[:count] if option.many else left[0]
            left = left[count:]
    if left:
        raise _UsageError(f"unexpected argument {left[0]!r}")
    return assigned


def _from_words(typed: dict[str, Any], options: Sequence[Option]) -> dict[str, Any]:
    """Convert the texts of options; "null" and "None" are None for options that can be None."""
    values = {}
    for option in options:
        if option.name in typed:
            text = typed[option.name]
            none = NoneType in option.kinds and text in ("null", "None")
            values[option.name] = _convert(None if none else text, option, option.shown)
    return values


def _from_files(paths: Sequence[str], options: Sequence[Option]) -> dict[str, Any]:
    """Read the values of configuration files; a later file overrides an earlier one."""
    named = {option.name: option for option in options}
    values: dict[str, Any] = {}
    for path in paths:
        in_file: dict[str, Any] = {}
        for key, value in read_options(path).items():
            name = key.replace("-", "_")
            place = f"configuration file {path!r}"
            if name in in_file:
                raise UserError(f"{place}: {key!r} is given twice")
            if name in named:
                in_file[name] = _convert(value, named[name], f"{place}: {key}")
            elif key not in RECORD:
                raise _UsageError(f"{place}: unknown option {key!r}{near(key, list(named))}")
        values |= in_file
    return values


def _convert(value: Any, option: Option, place: str) -> Any:
    try:
        return convert(value, option.type)
    except ValueError as error:
        raise UserError(f"{place}: {error}") from None


def _required(option: Option) -> bool:
    return (option.positional and not option.optional) or option.required
