"""Every command prints to every terminal, whatever its encoding and whatever the names in the files."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from resemblance.cli.main import main
from resemblance.config.image import ImageSpec
from resemblance.config.model import ModelSpec
from resemblance.methods.registry import build
from resemblance.printing.characters import printable
from resemblance.prototypes.gallery import Gallery, GalleryItem, Picture

CLASSES = ("kät ≥ \u202e×", "می\u200cخ")
IMAGE = os.fsdecode(b"\xff\x1b[31m\n.png") if os.name == "posix" else "image.png"
COMMANDS = [
    "--help",
    "methods",
    "methods --json",
    "train protopool --help",
    "prototypes RUN --output OUT/gallery.png",
    "prototypes RUN --output OUT/gallery.png --json",
    "explain RUN IMAGE --output OUT/why",
    "explain RUN IMAGE --output OUT/why --json",
    "evaluate RUN --data DATA --output OUT/evaluation.json",
    "evaluate RUN --data DATA --json",
    "report RUN --data DATA --output OUT/report.html",
    "embed RUN --data DATA --output OUT/latents.png",
    "evaluate RUN --data nowhere-IMAGE",
    "explain nowhere-IMAGE IMAGE",
]


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Make a model folder, data and an image, all with names that are not plain."""
    folder = tmp_path_factory.mktemp("names")
    pixels = np.random.default_rng(0).integers(0, 256, (8, 28, 28, 1), dtype=np.uint8)
    for number, image in enumerate(pixels):
        for shift, part in enumerate(("train", "val", "test")):  # copies across splits would be noted
            path = folder / "data" / part / CLASSES[number % 2] / f"{number} …\u2066.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.roll(image[:, :, 0], shift)).save(path)
    Image.fromarray(pixels[0, :, :, 0]).save(folder / IMAGE)
    spec = ModelSpec(CLASSES, ImageSpec(28, 28, 1, (0.5,), (0.25,)))
    model = build("protopnet", {"encoder": "small", "prototypes_per_class": 1}, spec)
    source = Picture.from_pixels(pixels[0])
    model.gallery = Gallery(
        GalleryItem("training image", f"{name}/0 ….png", source=source) for name in CLASSES
    )
    model.facts["notes"] = ["moved by 3 × 2 \u202d"]
    model.save(folder / "model")
    return {
        "RUN": str(folder / "model"),
        "DATA": str(folder / "data"),
        "IMAGE": str(folder / IMAGE),
        "OUT": str(folder),
    }


@pytest.mark.parametrize("encoding", ["cp1252", "ascii", "utf-8"])
@pytest.mark.parametrize("line", COMMANDS)
def test_no_name_breaks_the_output(
    line: str, encoding: str, places: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = line.split()
    for word, place in places.items():
        arguments = [argument.replace(word, place) for argument in arguments]
    monkeypatch.setenv("RESEMBLANCE_DEBUG", "1")
    for name in ("stdout", "stderr"):
        monkeypatch.setattr(sys, name, io.TextIOWrapper(io.BytesIO(), encoding=encoding, newline="\n"))
    fails = "nowhere" in line
    code = main(arguments)
    out, err = (_written(file) for file in (sys.stdout, sys.stderr))
    assert code == (2 if fails else 0), err
    assert printable(out + err, lines=True) == out + err
    if fails or "--json" not in line:  # with --json, the lines for people are on the error stream
        assert err.count("\n") == fails
    if "--json" in line and "RUN" in line:
        texts = json.dumps(json.loads(out))
        assert all(json.dumps(name) in texts for name in CLASSES)
    elif line.startswith("explain") and not fails:
        assert f"{printable(IMAGE)}: predicted" in out
    elif line.startswith("evaluate") and not fails:
        shown = {"utf-8": r"kät ≥ \u202e×", "cp1252": r"kät >= \u202e×", "ascii": r"k\xe4t >= \u202ex"}
        assert shown[encoding] in out
        assert ("می\u200cخ" in out) is (encoding == "utf-8")


def test_pages_and_files_have_no_such_characters(places: dict[str, str]) -> None:
    why = Path(places["OUT"]) / "why"
    assert main(["explain", places["RUN"], places["IMAGE"], "--output", str(why)]) == 0
    page = (why / "index.html").read_text(encoding="utf-8")
    assert printable(page, lines=True) == page
    assert r"kät ≥ \u202e×" in page
    assert "می\u200cخ" in page
    figure = "_udcff_x1b[31m_n.png" if os.name == "posix" else "image.png"
    assert {path.name for path in why.iterdir()} == {
        "index.html",
        "explanations.csv",
        "explanations.jsonl",
        figure,
    }


@pytest.mark.parametrize(("encoding", "line"), [("ascii:strict", "methods"), ("cp1252", "--help")])
def test_a_process_with_another_encoding(encoding: str, line: str) -> None:
    environment = {**os.environ, "PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"}
    done = subprocess.run([sys.executable, "-m", "resemblance", line], capture_output=True, env=environment)
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"protop" in done.stdout or b"usage" in done.stdout


def _written(file: io.TextIOWrapper) -> str:
    file.flush()
    return file.buffer.getvalue().decode(file.encoding)


@pytest.mark.skipif(os.name == "nt", reason="reports another error")
def test_a_reader_that_has_ended_is_no_error() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, "-m", "resemblance", "--help"], stdout=writing, stderr=subprocess.PIPE
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (0, b"")
