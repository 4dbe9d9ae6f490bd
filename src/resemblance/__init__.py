"""Image classifiers that explain themselves by prototypes: this looks like that.

Nothing heavy is imported until it is used: each public name is looked up on first access (PEP 562).
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

from resemblance.config.lazy import import_name
from resemblance.version import __version__

if TYPE_CHECKING:
    from resemblance.api import convert, open_run, train
    from resemblance.auditing import audit
    from resemblance.config.errors import UserError
    from resemblance.config.image import ImageSpec
    from resemblance.config.model import ModelSpec
    from resemblance.config.training import TrainConfig
    from resemblance.core.classifier import Classifier
    from resemblance.core.prototype_model import PrototypeModel
    from resemblance.data.dataset import ImageDataset
    from resemblance.data.loader import loader
    from resemblance.data.open import open_data, register_source
    from resemblance.data.sources.source import ArraySource, DataSplits, Source, Subset
    from resemblance.data.spec import infer_image_spec
    from resemblance.evaluating import evaluate
    from resemblance.explain.explanation import Explanation
    from resemblance.explain.many.explanations import Explanations
    from resemblance.explain.prototype_view import PrototypeView, prototype_views
    from resemblance.explain.reason import Reason
    from resemblance.explaining import explain
    from resemblance.export.bundle import Exported
    from resemblance.exporting import export
    from resemblance.finished_run import Run
    from resemblance.methods.ensemble.model import Ensemble, make_ensemble
    from resemblance.methods.loading import load
    from resemblance.methods.registry import build, list_methods
    from resemblance.metrics.ensemble import EnsembleEvaluation, evaluate_ensemble
    from resemblance.metrics.evaluation import Evaluation
    from resemblance.report.run_pages import report
    from resemblance.runs.inspection.inspecting import Inspection, inspect
    from resemblance.training.engine.fit import FitResult, fit

_HOMES = {
    "ArraySource": "data.sources.source",
    "Classifier": "core.classifier",
    "DataSplits": "data.sources.source",
    "Ensemble": "methods.ensemble.model",
    "EnsembleEvaluation": "metrics.ensemble",
    "Evaluation": "metrics.evaluation",
    "Explanation": "explain.explanation",
    "Explanations": "explain.many.explanations",
    "Exported": "export.bundle",
    "FitResult": "training.engine.fit",
    "ImageDataset": "data.dataset",
    "ImageSpec": "config.image",
    "Inspection": "runs.inspection.inspecting",
    "ModelSpec": "config.model",
    "PrototypeModel": "core.prototype_model",
    "PrototypeView": "explain.prototype_view",
    "Reason": "explain.reason",
    "Run": "finished_run",
    "Source": "data.sources.source",
    "Subset": "data.sources.source",
    "TrainConfig": "config.training",
    "UserError": "config.errors",
    "audit": "auditing",
    "build": "methods.registry",
    "convert": "api",
    "evaluate": "evaluating",
    "evaluate_ensemble": "metrics.ensemble",
    "explain": "explaining",
    "export": "exporting",
    "fit": "training.engine.fit",
    "infer_image_spec": "data.spec",
    "inspect": "runs.inspection.inspecting",
    "list_methods": "methods.registry",
    "load": "methods.loading",
    "loader": "data.loader",
    "make_ensemble": "methods.ensemble.model",
    "open_data": "data.open",
    "open_run": "api",
    "prototype_views": "explain.prototype_view",
    "register_source": "data.open",
    "report": "report.run_pages",
    "train": "api",
}

__all__ = [
    "ArraySource",
    "Classifier",
    "DataSplits",
    "Ensemble",
    "EnsembleEvaluation",
    "Evaluation",
    "Explanation",
    "Explanations",
    "Exported",
    "FitResult",
    "ImageDataset",
    "ImageSpec",
    "Inspection",
    "ModelSpec",
    "PrototypeModel",
    "PrototypeView",
    "Reason",
    "Run",
    "Source",
    "Subset",
    "TrainConfig",
    "UserError",
    "__version__",
    "audit",
    "build",
    "convert",
    "evaluate",
    "evaluate_ensemble",
    "explain",
    "export",
    "fit",
    "infer_image_spec",
    "inspect",
    "list_methods",
    "load",
    "loader",
    "make_ensemble",
    "open_data",
    "open_run",
    "prototype_views",
    "register_source",
    "report",
    "train",
]


class _Package(ModuleType):
    """Keeps `audit`, `explain`, `export`, `convert` and `report` functions; five subpackages have these names too."""

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in _HOMES or not isinstance(value, ModuleType):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package


def __getattr__(name: str) -> Any:
    return import_name(__name__, name, _HOMES)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
