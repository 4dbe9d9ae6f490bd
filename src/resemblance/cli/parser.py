"""Build a command's argparse parser, and its help, from the fields of dataclasses."""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Sequence
from dataclasses import MISSING, dataclass, fields
from functools import partial
from inspect import get_annotations
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from resemblance.config.values import flag

GROUPS = ("experiments", "data", "model", "method", "training", "explanation", "report", "figure", "output")
PLACEHOLDERS = {int: "N", float: "X", str: "TEXT", Path: "PATH", tuple: "X,Y,...", list: "A,B,..."}
WIDEST = 110  # columns of the help


@dataclass(frozen=True)
class Option:
    """An option of a command: a dataclass field as the command line sees it.

    Args:
        name: of the field, and of its key in YAML.
        type: the type of its value.
        default: its value if it is not given.
        title: its group in the help.
        help: like the other arguments, as in `config.options.option`.
    """

    name: str
    type: Any
    default: Any
    title: str
    help: str
    off: str = ""
    choices: Sequence[Any] = ()
    least: float | None = None
    above: float | None = None
    most: float | None = None
    below: float | None = None
    metavar: str | None = None
    positional: bool = False
    many: bool = False
    optional: bool = False
    repeated: bool = False
    required: bool = False
    hidden: bool = False

    @property
    def kinds(self) -> tuple[Any, ...]:
        """The types that its value can have; several for a union."""
        union = get_origin(self.type) in (Union, UnionType)
        return get_args(self.type) if union else (self.type,)

    @property
    def switch(self) -> bool:
        """Whether it is given as ``--NAME`` or ``--no-NAME``, without a value."""
        return set(self.kinds) <= {bool, NoneType}

    @property
    def flags(self) -> list[str]:
        """The words by which it can be given; none for a positional or hidden option."""
        if self.positional or self.hidden:
            return []
        return [flag(self.name), flag(f"no-{self.name}")] if self.switch else [flag(self.name)]

    @property
    def placeholder(self) -> str:
        """The placeholder of its value in the help."""
        if self.metavar or self.positional:
            return self.metavar or self.name.upper()
        if self.choices:
            return "{" + ",".join(map(str, self.choices)) + "}"
        kind = next(kind for kind in self.kinds if kind is not NoneType)
        return PLACEHOLDERS[get_origin(kind) or kind]

    @property
    def shown(self) -> str:
        """Its name in messages."""
        return self.placeholder if self.positional else flag(self.name)


def options_of(*configs: type[Any]) -> list[Option]:
    """List the options of dataclasses: the fields that have a help text.

    An option's group is the ``title`` of its field, else the class variable ``group`` of the class that declares
    it, else ``method``.

    Args:
        configs: dataclasses; if two of them declare the same field, the first one counts.

    Example:
        >>> from resemblance.config.commands import DemoCommand
        >>> [(option.name, option.title, option.flags) for option in options_of(DemoCommand)][:2]
        [('json', 'output', ['--json', '--no-json']), ('output', 'output', ['--output'])]
    """
    options: dict[str, Option] = {}
    for config in configs:
        hints = get_type_hints(config)
        for item in fields(config):
            if not item.init or "help" not in item.metadata or item.name in options:
                continue
            default = item.default if item.default_factory is MISSING else item.default_factory()
            metadata = {"title": _group(config, item.name), **item.metadata}
            options[item.name] = Option(item.name, hints[item.name], default, **metadata)
    return list(options.values())


def parser_for(options: Sequence[Option]) -> argparse.ArgumentParser:
    """Make the parser of all options that are not positional; its result has only the options that are given.

    It converts no values and requires none, because values can also come from a configuration file.
    """
    parser = argparse.ArgumentParser(
        add_help=False, allow_abbrev=False, exit_on_error=False, argument_default=argparse.SUPPRESS
    )
    typed = [option for option in options if option.flags]
    titles = {option.title: None for option in typed}
    for title in sorted(titles, key=lambda title: GROUPS.index(title) if title in GROUPS else len(GROUPS)):
        group = parser.add_argument_group(title)
        for option in typed:
            if option.title == title:
                _add(group, option)
    rest = parser.add_argument_group("other")
    rest.add_argument("-h", "--help", action="store_true", help="show this help and exit")
    rest.add_argument(
        "--config",
        action="append",
        metavar="FILE",
        help="YAML file of options, such as the config.yaml of a run; the command line overrides it",
    )
    return parser


def help_text(
    prog: str, description: str, options: Sequence[Option], parser: argparse.ArgumentParser, epilog: str = ""
) -> str:
    """Write the help of a command: usage, description, positional arguments, the parser's options, and an epilog."""
    positional = [option for option in options if option.positional]
    usage = [_usage(option) for option in positional]
    width = min(shutil.get_terminal_size((WIDEST, 24)).columns - 2, WIDEST)
    shown = argparse.ArgumentParser(
        usage=" ".join([prog, *usage, "[options]"]),
        description=description,
        epilog=epilog,
        parents=[parser],
        add_help=False,
        formatter_class=partial(argparse.HelpFormatter, max_help_position=30, width=width),
    )
    for option in positional:
        shown.add_argument(option.name, metavar=option.placeholder, help=_escaped(option.help))
    return shown.format_help()


def _usage(option: Option) -> str:
    words = option.placeholder + ("..." if option.many else "")
    return f"[{words}]" if option.optional else words


def _add(group: argparse._ArgumentGroup, option: Option) -> None:
    if option.switch:
        # The help shows only the form that changes the default; if the default is None, both forms do.
        on = argparse.SUPPRESS if option.default is True else _escaped(option.help)
        off = argparse.SUPPRESS if option.default is False else _escaped(option.off)
        for word, action, help in zip(option.flags, ("store_true", "store_false"), (on, off), strict=True):
            group.add_argument(word, dest=option.name, action=action, help=help)
        return
    help = option.help
    default = option.default
    if isinstance(default, tuple):
        default = ",".join(map(str, default)) or None
    if default is not None and not option.repeated:
        help += f" (default: {default})"
    if option.required:
        help += " (required)"
    action = "append" if option.repeated else "store"
    group.add_argument(*option.flags, action=action, metavar=option.placeholder, help=_escaped(help))


def _escaped(help: str) -> str:
    return help.replace("%", "%%")


def _group(config: type[Any], name: str) -> str:
    for base in config.__mro__:
        if name in get_annotations(base):
            return str(base.__dict__.get("group", "method"))
    return "method"
