"""Save models as folders."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from resemblance.core.classifier import Classifier
from resemblance.core.prototype_model import PrototypeModel
from resemblance.printing.places import without_places
from resemblance.store import REFERENCE, save_folder
from resemblance.version import __version__


def save(model: Classifier, folder: Path | str) -> None:
    """Write a model folder: configuration, tensors, prototype pictures, reference of its similarities.

    Of files on this machine (weights, data), the folder has the names, not their places.

    Args:
        model: any model of this library.
        folder: where to write; an existing model folder there is replaced.
    """
    config = {
        "resemblance": __version__,
        "method": model.name,
        "config": without_places(asdict(model.config)),
        "spec": model.spec.to_dict(),
        "facts": without_places(model.facts),
        # Saved because a rebuilt encoder describes itself as one without weights.
        "encoder": without_places(getattr(getattr(model, "encoder", None), "description", None)),
    }
    files: dict[str, bytes] = {}
    if isinstance(model, PrototypeModel):
        if model.gallery is not None:
            files |= model.gallery.to_files()
        if model.reference is not None:
            files[REFERENCE] = model.reference.to_file()
    save_folder(folder, config, model.state_dict(), files)
