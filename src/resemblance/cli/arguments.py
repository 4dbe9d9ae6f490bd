"""Command line and YAML from dataclasses: one parser for the fields of one or more of them."""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import MISSING, Field, fields
from inspect import get_annotations
from pathlib import Path
from typing import Any, NoReturn, TypeVar, get_args, get_origin, get_type_hints

from jsonargparse import ArgumentParser

from resemblance.config.errors import UserError
from resemblance.config.values import check_value, convert, flag, near

Config = TypeVar("Config")

# What a run's config.yaml holds beside options, so that it can be given to --config as it is.
RECORD = ("command", "method", "split_seed", "versions")
ORDER = (
    "positional arguments",
    "data",
    "model",
    "method",
    "training",
    "explanation",
    "report",
    "figure",
    "output",
)


class Parser(ArgumentParser):
    """A parser whose errors are `UserError`s of one line."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Say it in one line, with the names near to a misspelt one."""
        shown = [action for action in self._actions if action.help is not argparse.SUPPRESS]
        options = [text for action in shown for text in action.option_strings]
        if found := re.search(r"Option '(.+?)' is not accepted", message):
            keys = [action.dest for action in shown if action.option_strings]
            message = f"unknown option {found[1]!r} in the configuration file{near(found[1], keys)}"
        elif found := re.match(r"unrecognized arguments: (\S+)", message):
            message = f"unknown option {found[1]!r}{near(found[1].split('=')[0], options)}"
            if not found[1].startswith("-"):
                message = f"unexpected argument {found[1]!r}"
        elif found := re.match(r"the following arguments are required: (.+)", message):
            given = {action.dest: action for action in self._actions}
            names = found[1].split(", ")
            words = [flag(name) if given[name].option_strings else str(given[name].metavar) for name in names]
            message = f"{' and '.join(words)} {'is' if len(words) == 1 else 'are'} missing"
        message = message.removeprefix("argument ")
        message = re.sub(r"^Parser key \"(\w+)\": ", r"\1: ", re.sub(r"\s*\n\s*", " ", message.strip()))
        raise UserError(f"{message} (see {self.prog} --help)") from None


def parser_for(prog: str, description: str, *configs: type, epilog: str | None = None) -> Parser:
    """A parser with an option for each field of the dataclasses, in titled groups.

    A field's metadata give ``help`` and, where they apply, ``choices``, ``least``, ``metavar``,
    ``positional``, ``many``, ``required`` and ``hidden``. Its group is its ``title``, else the variable
    ``group`` of the class that declares it, else ``method``.

    Args:
        prog: as the usage line shows it.
        description: what the command does.
        configs: dataclasses; where two declare the same field, the first counts.
        epilog: text after the options.
    """
    positional = [f for config in configs for f in fields(config) if f.metadata.get("positional")]
    words = " ".join(_metavar(f) + ("..." if f.metadata.get("many") else "") for f in positional)
    parser = Parser(
        prog=prog,
        usage=f"{prog} {words + ' ' if words else ''}[options]",
        description=description,
        epilog=epilog,
        formatter_class=_Formatter,
        allow_abbrev=False,
        print_config=None,
    )
    seen: set[str] = set()
    groups: dict[str, Any] = {}
    for config in configs:
        hints = get_type_hints(config)
        for item in fields(config):
            if item.name in seen or not item.init or "help" not in item.metadata:
                continue
            seen.add(item.name)
            title = item.metadata.get("title") or _group(config, item.name)
            group = parser if item.metadata.get("positional") else groups.get(title)
            if group is None:
                group = groups[title] = parser.add_argument_group(title)
            _add(group, item, hints[item.name])
    parser.add_argument(
        "--config", action="config", help="YAML file of options; the command line wins over it"
    )
    for name in RECORD:
        if name not in seen:
            parser.add_argument(flag(name), type=lambda value: value, default=None, help=argparse.SUPPRESS)
    parser._action_groups = sorted(
        parser._action_groups,
        key=lambda group: ORDER.index(group.title) if group.title in ORDER else len(ORDER),
    )
    return parser


def parse(parser: Parser, arguments: Sequence[str], *configs: type[Any]) -> list[Any]:
    """Parse the arguments into one instance of each dataclass.

    Raises:
        UserError: one line about the first thing that does not fit.
    """
    for first, second in zip(arguments, [*arguments[1:], ""], strict=False):
        if first == "--config" or first.startswith("--config="):
            _check_yaml(second if first == "--config" else first.removeprefix("--config="))
    values = vars(parser.parse_args(list(arguments)))
    made = []
    for config in configs:
        made.append(config(**{f.name: values[f.name] for f in fields(config) if f.init and f.name in values}))
    return made


def _check_yaml(name: str) -> None:
    """See that a configuration file is one, before the parser reads it."""
    import yaml

    try:
        values = yaml.safe_load(Path(name).expanduser().read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"no such configuration file: {name!r}") from None
    except OSError as error:
        raise UserError(f"configuration file {name!r}: {error.strerror or error}") from None
    except yaml.MarkedYAMLError as error:
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise UserError(f"configuration file {name!r}{line}: {error.problem or error.context}") from None
    except (UnicodeDecodeError, yaml.YAMLError):
        raise UserError(f"configuration file {name!r} is no text in YAML") from None
    if not isinstance(values, dict):
        raise UserError(f"configuration file {name!r} holds no options; expected lines such as 'epochs: 3'")


def _group(config: type, name: str) -> str:
    for base in config.__mro__:
        if name in get_annotations(base):
            return str(base.__dict__.get("group", "method"))
    return "method"


def _metavar(item: Field[Any]) -> str:
    return str(item.metadata.get("metavar", item.name.upper()))


def _add(group: Any, item: Field[Any], wanted: Any) -> None:
    help = item.metadata["help"].replace("%", "%%")
    default = item.default if item.default_factory is MISSING else item.default_factory()
    if item.metadata.get("positional"):
        many = {"nargs": "+"} if item.metadata.get("many") else {}
        kind = get_args(wanted)[0] if many else wanted
        group.add_argument(item.name, metavar=_metavar(item), type=_reader(item, kind), help=help, **many)
        return
    if item.metadata.get("hidden"):
        help = argparse.SUPPRESS
    elif default is not None and wanted is not bool:
        help += f" (default: {default})"
    required = bool(item.metadata.get("required"))
    if wanted is bool:
        group.add_argument(
            flag(item.name), action=_Switch, type=_reader(item, wanted), default=default, help=help
        )
        return
    choices = item.metadata.get("choices")
    metavar = "{" + ",".join(map(str, choices)) + "}" if choices else _placeholder(wanted)
    group.add_argument(
        flag(item.name),
        type=_reader(item, wanted),
        default=default,
        required=required,
        metavar=item.metadata.get("metavar", metavar),
        help=help,
    )


def _reader(item: Field[Any], wanted: Any) -> Callable[[Any], Any]:
    """The function that turns text or a YAML value into the field's value, or says in a line why not."""
    name = _metavar(item) if item.metadata.get("positional") else flag(item.name)

    def read(value: Any) -> Any:
        try:
            result = convert(value, wanted)
        except ValueError as error:
            raise UserError(f"{name}: {error}") from None
        check_value(result, item.metadata, name)
        return result

    return read


def _placeholder(wanted: Any) -> str:
    kinds = [kind for kind in get_args(wanted) or (wanted,) if kind is not type(None)]
    kind = get_origin(kinds[0]) or kinds[0]
    return {int: "N", float: "X", str: "TEXT", tuple: "X,Y,...", list: "A,B,..."}.get(kind, "PATH")


class _Switch(argparse.Action):
    """``--name`` and ``--no-name``."""

    def __init__(self, option_strings: Sequence[str], dest: str, **settings: Any) -> None:
        opposite = "--no-" + option_strings[0].removeprefix("--")
        super().__init__([*option_strings, opposite], dest, nargs=0, **settings)

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: Any, values: Any, option: str | None = None
    ) -> None:
        setattr(namespace, self.dest, option == self.option_strings[0])


class _Formatter(argparse.HelpFormatter):
    def __init__(self, prog: str) -> None:
        width = min(int(os.environ.get("COLUMNS", 0)) or _terminal_width(), 110)
        super().__init__(prog, max_help_position=30, width=width)

    def _format_action_invocation(self, action: argparse.Action) -> str:
        if isinstance(action, _Switch):  # only what changes something
            return action.option_strings[1 if action.default else 0]
        return super()._format_action_invocation(action)


def _terminal_width() -> int:
    try:
        return os.get_terminal_size().columns - 2
    except OSError:
        return 100
