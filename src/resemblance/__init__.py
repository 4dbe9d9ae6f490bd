"""Image classifiers that explain themselves by prototypes: this looks like that.

Nothing heavy is imported until it is used: each public name is looked up on first access (PEP 562).
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from resemblance.version import __version__

if TYPE_CHECKING:
    from resemblance.config.errors import UserError
    from resemblance.config.image import ImageSpec
    from resemblance.config.model import ModelSpec
    from resemblance.convert.conversion import convert
    from resemblance.core.classifier import Classifier
    from resemblance.core.prototype_model import PrototypeModel
    from resemblance.data.open import open_data
    from resemblance.explain.explanation import Explanation
    from resemblance.explain.reason import Reason
    from resemblance.methods.ensemble.model import Ensemble, make_ensemble
    from resemblance.methods.loading import load
    from resemblance.methods.registry import build, list_methods
    from resemblance.metrics.ensemble import evaluate_ensemble
    from resemblance.metrics.evaluation import evaluate
    from resemblance.training.engine.fit import fit

_HOMES = {
    "Ensemble": "methods.ensemble.model",
    "make_ensemble": "methods.ensemble.model",
    "Explanation": "explain.explanation",
    "ImageSpec": "config.image",
    "Classifier": "core.classifier",
    "PrototypeModel": "core.prototype_model",
    "ModelSpec": "config.model",
    "Reason": "explain.reason",
    "UserError": "config.errors",
    "build": "methods.registry",
    "convert": "convert.conversion",
    "evaluate": "metrics.evaluation",
    "evaluate_ensemble": "metrics.ensemble",
    "fit": "training.engine.fit",
    "list_methods": "methods.registry",
    "load": "methods.loading",
    "open_data": "data.open",
}

__all__ = [
    "Classifier",
    "Ensemble",
    "Explanation",
    "ImageSpec",
    "ModelSpec",
    "PrototypeModel",
    "Reason",
    "UserError",
    "__version__",
    "build",
    "convert",
    "evaluate",
    "evaluate_ensemble",
    "fit",
    "list_methods",
    "load",
    "make_ensemble",
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
