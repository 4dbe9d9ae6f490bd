"""Image classifiers that explain themselves by prototypes: this looks like that.

Nothing heavy is imported until it is used: each public name is looked up on first access (PEP 562).
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from resemblance.config.errors import UserError
    from resemblance.config.image import ImageSpec
    from resemblance.config.model import ModelSpec
    from resemblance.core.explanation import Explanation, Reason
    from resemblance.core.model import Model
    from resemblance.data.open import open_data
    from resemblance.methods.persist import load
    from resemblance.methods.registry import build, list_methods
    from resemblance.training.conversion import convert
    from resemblance.training.engine import fit
    from resemblance.training.ensemble import Ensemble, evaluate_ensemble
    from resemblance.training.evaluation import evaluate

_HOMES = {
    "Ensemble": "training.ensemble",
    "Explanation": "core.explanation",
    "ImageSpec": "config.image",
    "Model": "core.model",
    "ModelSpec": "config.model",
    "Reason": "core.explanation",
    "UserError": "config.errors",
    "build": "methods.registry",
    "convert": "training.conversion",
    "evaluate": "training.evaluation",
    "evaluate_ensemble": "training.ensemble",
    "fit": "training.engine",
    "list_methods": "methods.registry",
    "load": "methods.persist",
    "open_data": "data.open",
}

__all__ = [
    "Ensemble",
    "Explanation",
    "ImageSpec",
    "Model",
    "ModelSpec",
    "Reason",
    "UserError",
    "build",
    "convert",
    "evaluate",
    "evaluate_ensemble",
    "fit",
    "list_methods",
    "load",
    "open_data",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
