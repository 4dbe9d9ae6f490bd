"""Find the folders of splits and classes in a tree of files."""

from __future__ import annotations

from dataclasses import dataclass, field

from resemblance.config.errors import UserError
from resemblance.data.images import SUFFIXES
from resemblance.data.sources.tree import Tree
from resemblance.data.text import composed, listed, one_line
from resemblance.printing.characters import fits_a_line

PARTS: tuple[str, ...] = ("train", "val", "test")
SPLITS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}
EXPECTED = (
    "expected FOLDER/CLASS/image.jpg or FOLDER/train/CLASS/image.jpg, or a table of files and their classes "
    "(--labels TABLE)"
)


@dataclass(frozen=True)
class Layout:
    """The folders of classes and splits.

    Args:
        classes: the names of the class folders, with composed accents, in order.
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
    names = sorted({composed(folder) for folder in classes})
    notes += _on_accents(tree, parts or {"train": root})
    return Layout(names, parts or {"train": root}, bool(parts), notes)


def _on_accents(tree: Tree, parts: dict[str, str]) -> list[str]:
    """Return a note about classes whose name is written in two ways, which are one class."""
    written: dict[str, set[str]] = {}
    for folder in parts.values():
        for name in tree.children[folder]:
            written.setdefault(composed(name), set()).add(name)
    twice = [name for name, forms in written.items() if len(forms) > 1]
    if not twice:
        return []
    words = "is one class" if len(twice) == 1 else "are one class each"
    return [
        f"{listed(sorted(twice))} {words}, although the folders write the accents in two ways (composed and decomposed)"
    ]


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
    if len({composed(class_name) for class_name in classes}) < 2:
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
        known = {composed(class_name) for class_name in classes}
        unknown = sorted(name for name in tree.children[folder] if composed(name) not in known)
        if unknown:
            raise UserError(
                f"{name}: class folder {one_line(unknown[0])!r} is in {part} but not in train; "
                "add it there, or remove it"
            )


def split_named(name: str) -> str:
    """Return ``train``, ``val`` or ``test`` for a word that means it; empty for others."""
    return SPLITS.get(name.strip().lower(), "")


def _split_of(folder: str) -> str:
    return SPLITS.get(folder.rpartition("/")[2].lower(), "")


def looks_like_image(name: str) -> bool:
    """Check whether a file has the name of an image."""
    return name.lower().endswith(SUFFIXES)


def _join(root: str, folder: str) -> str:
    return f"{root}/{folder}" if root else folder
