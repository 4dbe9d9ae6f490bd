"""Configuration of an ensemble."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

from resemblance.config.method import MethodConfig


@dataclass
class EnsembleConfig(MethodConfig):
    """Several models that answer together; made of trained models, not trained itself."""

    name: ClassVar[str] = "ensemble"
    model: ClassVar[str] = "resemblance.methods.ensemble.model:Ensemble"
    line: ClassVar[str] = "several models that answer together"
    trains: ClassVar[bool] = False

    members: list[dict[str, Any]] = field(default_factory=list)  # method, config and spec of each
