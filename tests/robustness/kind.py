"""A kind of input that is fuzzed, and what all kinds share."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

import resemblance
from resemblance.cli.main import main
from resemblance.config.errors import UserError
from resemblance.core.classifier import Classifier
from resemblance.core.prototype_model import PrototypeModel
from resemblance.data import ArraySource
from resemblance.explain.prototype_view import prototype_views
from robustness.malice import Trap

ERROR = "resemblance: error: "
NOTE = "note: "


@dataclass(frozen=True)
class Kind:
    """A kind of input.

    Args:
        share: of all inputs, in percent.
        prepare: makes the valid inputs in an empty folder, once; the trap is for malicious ones.
        attempt: damages one of them, writes it to an empty folder and opens it as the commands do. It raises a
            `UserError` if the input is refused, and another exception if something is wrong.
    """

    share: int
    prepare: Callable[[Path, Trap], Any]
    attempt: Callable[[Random, Any, Path], object]


def command(*words: object) -> None:
    """Run a command; an error that the user can correct, which must be one line, is raised as `UserError`."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = main([str(word) for word in words])
    lines = [line for line in err.getvalue().splitlines() if not line.startswith(NOTE)]
    if code == 2 and len(lines) == 1 and lines[0].startswith(ERROR):
        raise UserError(lines[0].removeprefix(ERROR))
    if code != 0 or lines:
        raise AssertionError(f"exit code {code}: {' | '.join(lines)[:500]}")


def inspect(folder: Path) -> None:
    """Inspect a folder: a damaged one is described too, as data without NaN, unless it is no folder of a model."""
    with suppress(UserError):
        check_plain(resemblance.inspect(folder).to_dict())


def use(model: Classifier) -> None:
    """Measure a model, and explain an image and the prototypes; whatever it answers must be finite."""
    image = model.spec.image
    shape = (2, image.height, image.width, image.channels)
    pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    source = ArraySource(pixels, [0, 1], model.spec.classes)
    check_plain(resemblance.evaluate(model, source).to_dict())
    if isinstance(model, PrototypeModel):
        explain(model, source.read(0))
        for view in prototype_views(model):
            check_plain(view.to_dict())
            view.picture  # noqa: B018 (decodes the picture)


def explain(model: Classifier, image: Any) -> None:
    """Explain an image as text and as data."""
    for explanation in resemblance.explain(model, image, top=3):
        assert str(explanation)
        check_plain(explanation.to_dict())


def check_plain(document: Any) -> None:
    """Check that a document can be written as JSON, which has no NaN and no infinity."""
    json.dumps(document, allow_nan=False)
