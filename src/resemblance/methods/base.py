"""The base classes of methods: the contract, and the methods that save a model and explain images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from resemblance.core.classifier import Classifier
from resemblance.core.prototype_model import PrototypeModel
from resemblance.explain.explain import explain
from resemblance.explain.explanation import Explanation
from resemblance.methods.saving import save


class Method(Classifier):
    """Base of the methods without prototypes."""

    def save(self, folder: Path | str) -> None:
        """Write the model as a folder that `resemblance.load` reads; an older model folder there is replaced."""
        save(self, folder)


class PrototypeMethod(PrototypeModel, Method):
    """Base of the methods with prototypes."""

    def explain(self, image: Any, **options: Any) -> Explanation:
        """Explain one image: a path, a PIL image, an array or a tensor; see `explain.explain.explain`."""
        return explain(self, image, **options)
