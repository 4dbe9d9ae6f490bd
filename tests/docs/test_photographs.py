"""The photographs of others in the documentation: named with source and licence, and not distributed as MIT."""

from __future__ import annotations

import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docs" / "images" / "pets"


def test_a_notice_names_source_and_licence_of_each_photograph():
    notice = (FOLDER / "NOTICE").read_text(encoding="utf-8")
    for words in (
        "Oxford-IIIT Pet Dataset",
        "Parkhi",
        "CVPR 2012",
        "CC BY-SA 4.0",
        "not under the MIT licence",
    ):
        assert words in notice
    pictures = sorted(path.name for path in FOLDER.iterdir() if path.name != "NOTICE")
    assert pictures
    assert [name for name in pictures if name not in notice] == []
    assert [path.name for path in FOLDER.parent.glob("*pets*") if path != FOLDER] == []


def test_the_source_distribution_leaves_them_out():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    excluded = project["tool"]["hatch"]["build"]["targets"]["sdist"]["exclude"]
    assert f"/{FOLDER.relative_to(ROOT).as_posix()}" in excluded


def test_the_readme_says_so_beside_its_licence():
    _, _, licence = (ROOT / "README.md").read_text(encoding="utf-8").partition("\nLicence: ")
    for words in ("MIT", "docs/images/pets/NOTICE", "Oxford-IIIT Pet Dataset", "CC BY-SA 4.0"):
        assert words in licence


def test_pictures_are_small():
    assert [path.name for path in FOLDER.iterdir() if path.stat().st_size >= 300_000] == []
