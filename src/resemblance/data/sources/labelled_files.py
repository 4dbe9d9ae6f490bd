"""Image files with their classes, splits and groups, before any is read."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from resemblance.data.sources.layout import Layout
from resemblance.data.sources.tree import Tree
from resemblance.data.text import composed


class LabelledFile(NamedTuple):
    """A file with the number of its class and of its group; -1 for no group."""

    label: int
    file: str
    group: int = -1


@dataclass
class LabelledFiles:
    """The image files of each split.

    Args:
        classes: the class names, in order.
        parts: split → its files, class by class; only ``train`` where the data has no splits.
        split: whether the data has splits.
        folders: whether classes are folders, and not rows of a table.
        groups: the names of the groups; empty if there are none.
        notes: messages about what was left out.
    """

    classes: list[str]
    parts: dict[str, list[LabelledFile]]
    split: bool
    folders: bool = True
    groups: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def files_of_folders(tree: Tree, layout: Layout, left_out: frozenset[str]) -> LabelledFiles:
    """Return the files below each class folder, at any depth, class by class.

    Args:
        tree: the files.
        layout: the folders of classes and splits.
        left_out: files that are left out, such as masks.
    """
    numbers = {class_name: label for label, class_name in enumerate(layout.classes)}
    parts: dict[str, list[LabelledFile]] = {}
    for part, folder in layout.parts.items():
        start = f"{folder}/" if folder else ""
        files = []
        for file in tree.names:
            if file.startswith(start) and file not in left_out:
                class_name, slash, _ = file[len(start) :].partition("/")
                label = numbers.get(composed(class_name)) if slash else None
                if label is not None:
                    files.append(LabelledFile(label, file))
        parts[part] = sorted(files)
    return LabelledFiles(layout.classes, parts, layout.split, notes=list(layout.notes))
