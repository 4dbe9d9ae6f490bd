"""Read a YAML file of options: plain data only, and small, since anybody may have written it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NoReturn

import yaml

from resemblance.config.errors import UserError

LARGEST = 100_000  # bytes; PyYAML reads this many in one or two seconds
DEEPEST = 20  # the largest number of nested lists and mappings
SCALARS = frozenset(f"tag:yaml.org,2002:{kind}" for kind in ("null", "bool", "int", "float"))


def read_options(path: str | Path, largest: int = LARGEST, example: str = "epochs: 3") -> dict[str, Any]:
    """Read the options in a YAML file.

    Args:
        path: a file with one mapping of names to values, without aliases and tags.
        largest: the largest size of the file, in bytes.
        example: a line of such a file, for messages.

    Returns:
        The values by name, as they stand in the file.

    Raises:
        UserError: in one line, if there is no such file or it does not hold options.
    """
    name = f"configuration file {str(path)!r}"
    try:
        with Path(path).expanduser().open("rb") as file:
            content = file.read(largest + 1)
    except FileNotFoundError:
        raise UserError(f"no such configuration file: {str(path)!r}") from None
    except OSError as error:
        raise UserError(f"{name}: {error.strerror or error}") from None
    if len(content) > largest:
        raise UserError(f"{name} is larger than {largest // 1000} kB, too large for a file of options")
    try:
        values = yaml.load(content.decode("utf-8-sig"), _PlainLoader)
    except UnicodeDecodeError:
        raise UserError(f"{name} is not text in UTF-8") from None
    except yaml.MarkedYAMLError as error:
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        problem = ", ".join(part for part in (error.context, error.problem) if part)
        raise UserError(f"{name}{line}: {' '.join(problem.split())}") from None
    except yaml.YAMLError:
        raise UserError(f"{name} is not text in YAML") from None
    except ValueError:  # Python reads no integers of more than some thousand digits
        raise UserError(f"{name} holds a number that cannot be read") from None
    if not isinstance(values, dict):
        raise UserError(f"{name} does not hold options; expected lines such as {example!r}")
    return {str(key): value for key, value in values.items()}


class _PlainLoader(yaml.SafeLoader):
    """A loader that accepts mappings, lists, text, numbers, true, false and null, and nothing else of YAML."""

    # Without merge keys and dates: "<<" and "2024-05-01" are text.
    yaml_implicit_resolvers = {  # noqa: RUF012 (declared by PyYAML, which copies it before it is changed)
        first: [(tag, pattern) for tag, pattern in resolvers if tag in SCALARS]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    _depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """Refuse what could make a small file large, deep or more than data, as soon as it is met."""
        event = self.peek_event()  # type: ignore[no-untyped-call]
        if isinstance(event, yaml.AliasEvent) or event.anchor is not None:
            _refuse("anchors and aliases (& and *) are not allowed here; text with them needs quotes", event)
        if event.tag is not None:
            _refuse("tags (!) are not allowed here; text that begins with '!' needs quotes", event)
        inner = isinstance(event, yaml.CollectionStartEvent)
        self._depth += inner
        if self._depth > DEEPEST:
            _refuse(f"more than {DEEPEST} lists and mappings are nested", event)
        node = super().compose_node(parent, index)
        self._depth -= inner
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Refuse a key that is repeated, of which PyYAML would use the last one without a warning."""
        keys = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in keys:
                    _refuse(f"{key.value!r} is given twice", key)
                keys.add(key.value)
        return super().construct_mapping(node, deep)


def _refuse(problem: str, place: Any) -> NoReturn:
    raise yaml.MarkedYAMLError(problem=problem, problem_mark=place.start_mark)
