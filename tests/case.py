"""The case of a method: all that the tests that every method must pass need to know of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from torch import nn


@dataclass(frozen=True)
class Case:
    """The settings under which a method is tested.

    Args:
        settings: of a model so small that it is trained in a second.
        epochs: in all; None where the settings say it.
        alike: settings without what differs from process to process by design, where there is any.
        remove_draws: replace the method's own random draws, by which processes differ, in a model.
        command: options of ``resemblance train`` on the digits.
        measured: what it measures other than accuracy, and the least that each must reach.
        explained: words that its explanations must have.
        page: words that its report must have.
    """

    settings: dict[str, Any]
    epochs: int | None = None
    alike: dict[str, Any] = field(default_factory=dict)
    remove_draws: Callable[[nn.Module], None] | None = None
    command: str = ""
    measured: dict[str, float] = field(default_factory=dict)
    explained: tuple[str, ...] = ()
    page: tuple[str, ...] = ()
