"""Write an ONNX graph with all that is needed to explain images with it: a description, a script, pictures."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import torch

from resemblance.config.errors import UserError
from resemblance.core.prototype_model import PrototypeModel
from resemblance.export.answer_graph import AnswerGraph
from resemblance.export.graph_description import describe, input_description
from resemblance.export.onnx_check import Agreement, check_onnx
from resemblance.export.onnx_file import onnx_bytes
from resemblance.export.packages import import_packages
from resemblance.export.prototype_pictures import known_images, picture_files, pictures_of
from resemblance.writing import replacing_folder, write_bytes, write_text

SUFFIX = ".onnx"
KNOWN, NOISE = 8, 4  # images of prototypes, and of noise, that the graph is checked with
_PICTURE = re.compile(r"\d+\.(png|jpg)")


@dataclass(frozen=True)
class Exported:
    """What was written.

    Args:
        graph: the ONNX file.
        description: the JSON file beside it.
        script: a Python file that explains an image with the graph.
        pictures: the folder of the prototypes' pictures; None if there are none.
        outputs: the names of the graph's outputs.
        agreement: how well the graph agrees with the model.
    """

    graph: Path
    description: Path
    script: Path
    pictures: Path | None
    outputs: tuple[str, ...]
    agreement: Agreement

    def to_dict(self) -> dict[str, Any]:
        """Return a dictionary that JSON can hold."""
        return {
            "graph": str(self.graph),
            "description": str(self.description),
            "script": str(self.script),
            "pictures": None if self.pictures is None else str(self.pictures),
            "outputs": list(self.outputs),
            "images_checked": self.agreement.images,
            "largest_relative_difference": self.agreement.largest,
            "checked_with": self.agreement.software,
        }


def export_bundle(model: PrototypeModel, path: Path, pictures: bool = True) -> Exported:
    """Convert a model to an ONNX graph, compare both, and write the graph with the files beside it.

    Args:
        model: a model with prototypes; it is not changed.
        path: the file of the graph.
        pictures: whether to write the pictures of the prototypes, which are training images.

    Raises:
        UserError: if a package is missing, the model cannot be exported, the graph does not agree with the model, or a
            file cannot be written. Nothing is written before the graph is checked.
    """
    import_packages()
    if path.suffix != SUFFIX:
        raise UserError(f"{path}: the name of the graph must end in {SUFFIX}")
    folder = path.with_name(f"{path.stem}_prototypes")
    _check_folder(folder)
    graph = AnswerGraph(model)
    stored, named = picture_files(pictures_of(model) if pictures else {})
    image = input_description(model.spec.image)
    content = onnx_bytes(graph, {"method": model.name, "classes": list(model.spec.classes), "input": image})
    images = torch.cat([known_images(model, KNOWN), graph.example(NOISE)])
    agreement = check_onnx(content, graph, images)
    if stored:
        with replacing_folder(folder) as new:
            for name, data in stored.items():
                write_bytes(new / name, data)
    document = json.dumps(describe(graph, agreement, named), ensure_ascii=False, indent=1)
    description = path.with_name(f"{path.name}.json")
    write_text(description, f"{document}\n")
    script = path.with_name(f"{path.stem}_explain.py")
    write_text(script, script_text())
    write_bytes(path, content)
    return Exported(path, description, script, folder if stored else None, graph.names, agreement)


def script_text() -> str:
    """Return the Python file that explains an image; it is the same for every model."""
    template = files("resemblance.export") / "templates" / "explain_image.py.txt"
    return template.read_text(encoding="utf-8")


def _check_folder(folder: Path) -> None:
    """Refuse a folder that has other files than an earlier export's."""
    if folder.exists():
        foreign = [entry.name for entry in folder.iterdir() if not _PICTURE.fullmatch(entry.name)]
        if foreign:
            raise UserError(
                f"{folder} would be replaced, and it has files that are no pictures of an export, such as "
                f"{sorted(foreign)[0]}; give the graph another name"
            )
