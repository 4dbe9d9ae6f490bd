"""Thresholds that the user sets for an audit: ``head_on_stomach>0.5`` fails it."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from resemblance.config.audit.check_names import CHECKS
from resemblance.config.errors import UserError
from resemblance.config.files.options_file import read_options
from resemblance.config.values import near

RELATIONS: dict[str, Callable[[float, float], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
}
KEY = "fail_if"
_THRESHOLD = re.compile(r"\s*([A-Za-z][\w-]*)\s*(>=|<=|>|<)\s*(\S+?)\s*")


@dataclass(frozen=True)
class Threshold:
    """A limit on a number of an audit; the audit fails where the number crosses it.

    Args:
        name: the name of the number, with underscores.
        relation: one of `RELATIONS`.
        limit: the number that it is compared with.

    Example:
        >>> threshold = Threshold("head_on_stomach", ">", 0.5)
        >>> threshold.text, threshold.crossed(0.7), threshold.crossed(0.5)
        ('head_on_stomach > 0.5', True, False)
    """

    name: str
    relation: str
    limit: float

    @property
    def text(self) -> str:
        """The threshold as text."""
        return f"{self.name} {self.relation} {self.limit:g}"

    @property
    def check(self) -> str:
        """The name of the check that yields the number."""
        check = _check_of(self.name)
        assert check is not None
        return check

    def crossed(self, value: float) -> bool:
        """Return whether a number crosses the limit."""
        return RELATIONS[self.relation](value, self.limit)


def parse_threshold(text: str, place: str = "--fail-if") -> Threshold:
    """Read a threshold.

    Args:
        text: the name of a number, ``>``, ``>=``, ``<`` or ``<=``, and a limit; per cent may be written as such.
        place: where it stands, for messages.

    Raises:
        UserError: if it is not such a text, or no check yields a number of that name.

    Example:
        >>> parse_threshold("head-on-stomach > 50%")
        Threshold(name='head_on_stomach', relation='>', limit=0.5)
    """
    match = _THRESHOLD.fullmatch(text)
    if match is None:
        raise UserError(f"{place}: {text!r} is not a threshold; expected for instance 'head_on_stomach>0.5'")
    name, relation, number = match[1].replace("-", "_").lower(), match[2], match[3]
    if _check_of(name) is None:
        known = [check.replace("-", "_") for check in CHECKS]
        hint = near(name, known) or f"; the checks are {', '.join(known)}"
        raise UserError(f"{place}: no check yields a number {name!r}{hint}")
    try:
        limit = float(number.removesuffix("%")) / (100 if number.endswith("%") else 1)
    except ValueError:
        limit = math.nan
    if not math.isfinite(limit):
        raise UserError(f"{place}: {number!r} in {text!r} is not a number")
    return Threshold(name, relation, limit)


def read_thresholds(texts: Sequence[str], file: Path | None) -> tuple[Threshold, ...]:
    """Read the thresholds of the command line and of a YAML file, without repetitions.

    The file has one key, ``fail_if``, with a list of thresholds; a file without any guards nothing, and is refused.

    Raises:
        UserError: in one line, if one cannot be read.

    Example:
        >>> [threshold.text for threshold in read_thresholds(["nonsense>0.1", "nonsense>0.1"], None)]
        ['nonsense > 0.1']
    """
    thresholds = [parse_threshold(text) for text in texts]
    if file is not None:
        values = read_options(file, example=f"{KEY}: [head_on_stomach > 0.5]")
        listed = next(iter(values.values())) if list(values) in ([KEY], [KEY.replace("_", "-")]) else None
        if not isinstance(listed, list) or not listed or not all(isinstance(text, str) for text in listed):
            raise UserError(
                f"{file}: expected the key {KEY} alone, with a list of thresholds such as '- head_on_stomach > 0.5'"
            )
        thresholds += [parse_threshold(text, str(file)) for text in listed]
    return tuple(dict.fromkeys(thresholds))


def _check_of(number: str) -> str | None:
    """Return the check that yields a number, ``shifts`` for ``shift_jpeg_overlap``; None if none does."""
    for check in CHECKS:
        name = check.replace("-", "_")
        if f"{number}_".startswith((f"{name}_", f"{name.removesuffix('s')}_")):
            return check
    return None
