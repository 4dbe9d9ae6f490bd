"""`export`, the verb of the Python interface that writes a model for other software; see also `resemblance.api`."""

from __future__ import annotations

from pathlib import Path

from resemblance.explain.request import explainable
from resemblance.export.bundle import SUFFIX, Exported, export_bundle
from resemblance.runs.folders import check_writable, in_folder
from resemblance.runs.opening import Openable, as_runs
from resemblance.training.devices.torchrun import together


@together
def export(model: Openable, onnx: Path | str, *, pictures: bool = True) -> Exported:
    """Write a model as an ONNX graph that answers with its reasons, and what is needed to explain images with it.

    The graph computes scores, probabilities, similarities, contributions to the score of the predicted class and, where
    the method has them, similarity maps, for any number of images (B, C, H, W) in [0, 1]; it normalises them itself.
    Beside ``NAME.onnx`` are written ``NAME.onnx.json``, which describes input, outputs and reasons,
    ``NAME_explain.py``, which explains an image with onnxruntime, numpy and Pillow alone, and ``NAME_prototypes/``.
    Before anything is written, the graph is compared with the model in onnxruntime.

    Args:
        model: a model with prototypes, a run, or the folder of one.
        onnx: the file of the graph, or a folder for it.
        pictures: whether to write the pictures of the prototypes, which are training images.

    Returns:
        The paths of the files, the names of the outputs, and how well the graph agrees with the model.

    Raises:
        UserError: if the packages of ``resemblance[onnx]`` are not installed, the model has no prototypes or an
            operation that ONNX does not have, the graph does not agree with it, or a file cannot be written.

    Example:
        >>> exported = export("runs/kmex", "deploy/xrays.onnx")  # doctest: +SKIP
        >>> exported.agreement.largest, exported.outputs  # doctest: +SKIP
    """
    [run] = as_runs(model, "cpu")
    path = in_folder(Path(onnx).expanduser(), f"{run.name}{SUFFIX}")
    assert path is not None
    check_writable(path.parent)
    return export_bundle(explainable(run.model), path, pictures)
