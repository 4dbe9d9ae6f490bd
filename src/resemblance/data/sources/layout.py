"""Find the folders of splits and classes in a tree of files."""

from __future__ import annotations

from dataclasses import dataclass, field

from resemblance.config.errors import UserError
from resemblance.data.images import SUFFIXES
from resemblance.data.sources.tree import Tree
from resemblance.data.text import one_line
from resemblance.printing.characters import fits_a_line

SPLITS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}
EXPECTED = "expected FOLDER/CLASS/image.jpg or FOLDER/train/CLASS/image.jpg"


@dataclass(frozen=True)
class Layout:
    """The folders of classes and splits.

    Args:
        classes: the names of the class folders, in order.
        parts: split → folder of its class folders; only ``train`` where the tree has no splits.
        split: whether the tree has splits.
        notes: messages about what was left out.
    """

    classes: list[str]
    parts: dict[str, str]
    split: bool
    notes: list[str] = field(default_factory=list)


def find_layout(tree: Tree, name: str) -> Layout:
    """Find the class folders below the root, or below ``train``, ``val`` and ``test``, of a tree.

    A single folder around everything is ignored. Folders with images and no class folders are classes even if they are
    called ``train`` or ``test``, as long as there are other folders beside them.

    Raises:
        UserError: for other layouts.
    """
    root = ""
    passed = [root]
    while len(tree.children.get(root, [])) == 1:
        below = _join(root, tree.children[root][0])
        if _split_of(below) or below not in tree.children:
            break
        root = below
        passed.append(root)
    if root not in tree.children:
        raise UserError(f"{name}: {_without_folders(tree.files.get(root, []))}; {EXPECTED}")
    notes: list[str] = []
    parts = _parts(tree, root, name, notes)
    classes = tree.children[parts.get("train", root)]
    _check_classes(tree, classes, parts, root, name)
    if not parts:
        _refuse_hidden_splits(tree, root, classes, name)
    beside = [
        _join(folder, file) for folder in (*passed, *parts.values()) for file in tree.files.get(folder, [])
    ]
    outside = [path for path in beside if looks_like_image(path)]
    if outside:
        notes.append(f"{len(outside)} images outside the class folders left out: {listed(outside)}")
    return Layout(classes, parts or {"train": root}, bool(parts), notes)


def _without_folders(files: list[str]) -> str:
    archives = [file for file in files if file.lower().endswith((".zip", ".tar", ".gz", ".tgz", ".7z"))]
    if archives and len(archives) == len(files):
        return f"contains only archives, {listed(archives, 3)}; unpack them first"
    return (
        f"{len(files)} {'file' if len(files) == 1 else 'files'} but no class folders"
        if files
        else "no class folders"
    )


def _refuse_hidden_splits(tree: Tree, root: str, classes: list[str], name: str) -> None:
    """Refuse splits with other names, for instance ``training_set`` and ``test_set``, which look like classes."""
    inner = [tuple(tree.children.get(_join(root, folder), [])) for folder in classes]
    if len(inner) > 1 and len(inner[0]) > 1 and len(set(inner)) == 1:
        raise UserError(
            f"{name}: the folders {listed(classes, 3)} all contain the same folders, {listed(list(inner[0]), 3)}; "
            "if they are splits, call them train, val and test"
        )


def listed(names: list[str], most: int = 20) -> str:
    """Return the first ``most`` names for a note, and the number of the others."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(one_line(name) for name in names[:most]) + more


def _parts(tree: Tree, root: str, name: str, notes: list[str]) -> dict[str, str]:
    """Return the folder of each split; empty if the folders at the root are classes."""
    folders = tree.children[root]
    called = [folder for folder in folders if _split_of(folder)]
    with_classes = [folder for folder in called if _join(root, folder) in tree.children]
    others = [folder for folder in folders if folder not in called]
    if not called or (others and not with_classes):
        return {}
    if not with_classes:
        raise UserError(f"{name}: no class folders in {listed(called)}; {EXPECTED}")
    parts: dict[str, str] = {}
    for folder in with_classes:
        part = _split_of(folder)
        if part in parts:
            raise UserError(
                f"{name}: both {parts[part]!r} and {folder!r} could contain {part} images; rename one"
            )
        parts[part] = _join(root, folder)
    if "train" not in parts:
        raise UserError(f"{name}: found {listed(with_classes)} but no train folder with class folders")
    left_out = [folder for folder in folders if folder not in with_classes]
    if left_out:
        notes.append(f"folders beside {', '.join(parts)} left out: {listed(left_out)}")
    return parts


def _check_classes(tree: Tree, classes: list[str], parts: dict[str, str], root: str, name: str) -> None:
    if len(classes) < 2:
        below = f" in {parts['train']!r}" if parts else ""
        raise UserError(f"{name}: expected two or more class folders{below}, found only {listed(classes)}")
    for class_name in classes:
        if not fits_a_line(class_name):
            raise UserError(f"{name}: class folder {one_line(class_name)!r} cannot be printed; rename it")
        inside = tree.children.get(_join(parts.get("train", root), class_name), [])
        if any(_split_of(folder) == "train" for folder in inside):
            raise UserError(
                f"{name}: class folder {class_name!r} contains {listed(inside)}; expected train/{class_name}"
            )
    for part, folder in parts.items():
        unknown = sorted(set(tree.children[folder]) - set(classes))
        if unknown:
            raise UserError(
                f"{name}: class folder {one_line(unknown[0])!r} is in {part} but not in train; "
                "add it there, or remove it"
            )


def _split_of(folder: str) -> str:
    return SPLITS.get(folder.rpartition("/")[2].lower(), "")


def looks_like_image(name: str) -> bool:
    """Check whether a file has the name of an image."""
    return name.lower().endswith(SUFFIXES)


def _join(root: str, folder: str) -> str:
    return f"{root}/{folder}" if root else folder
