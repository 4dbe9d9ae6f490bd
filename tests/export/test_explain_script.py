"""The script beside a graph reads images as the library does, and says what the library says."""

from __future__ import annotations

import os
import subprocess
import sys
from copy import deepcopy
from dataclasses import replace
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from PIL import Image

import resemblance
from resemblance.config.image import ImageSpec
from resemblance.config.model import ModelSpec
from resemblance.core.conformal import Calibration
from resemblance.core.deciding import deciding_similarity
from resemblance.core.reference import Reference, SimilarityRange
from resemblance.data.inputs import as_tensor
from resemblance.export.bundle import script_text
from resemblance.export.graph_description import input_description, references
from resemblance.methods.registry import build
from resemblance.training.ends.gallery import build_gallery
from tiny import digits

for name in ("onnx", "onnxruntime", "onnxscript"):
    pytest.importorskip(name)

SIZES = [(41, 53), (300, 97), (20, 15), (64, 64), (29, 400)]  # width and height of the picture
GREY = ImageSpec(37, 29, 1, (0.5,), (0.25,))
COLOUR = ImageSpec(31, 40, 3, (0.48, 0.45, 0.4), (0.22, 0.23, 0.24))
PREPARATIONS = [
    {},
    {"resize": "crop", "crop_share": 0.875, "interpolation": "bicubic"},
    {"resize": "pad", "interpolation": "lanczos"},
    {"resize": "squash", "crop_share": 0.9, "interpolation": "box", "window": (700, 20000)},
]
NAMES = ("cat", "dog", "owl")


def noise(size: tuple[int, int], mode: str) -> Image.Image:
    generator = np.random.default_rng(sum(size))
    width, height = size
    if mode == "I;16":
        return Image.fromarray(generator.integers(0, 65536, (height, width), dtype=np.uint16))
    bands = {"L": 1, "RGB": 3, "RGBA": 4, "LA": 2}[mode]
    pixels = generator.integers(0, 256, (height, width, bands), dtype=np.uint8)
    return Image.fromarray(pixels[..., 0] if bands == 1 else pixels, mode=None)


def imported(script: Path) -> ModuleType:
    spec = spec_from_file_location(script.stem, script)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def with_reference(model, low: float, high: float):
    known = SimilarityRange.of(np.linspace(low, high, 200))
    empty = (SimilarityRange(0),) * len(NAMES)
    model.reference = Reference(known, empty, Calibration.of([0.9]))
    return model


def make(spec: ImageSpec, method: str = "protopnet", **config):
    torch.manual_seed(0)
    encoder = {} if method == "prototypedl" else {"encoder": "small"}
    return build(method, {**encoder, **config}, ModelSpec(NAMES, spec)).eval()


@pytest.fixture(scope="module", params=["grey", "colour"])
def script(request, tmp_path_factory) -> tuple[ModuleType, torch.nn.Module, Path]:
    model = make(GREY if request.param == "grey" else COLOUR, prototypes_per_class=2)
    folder = tmp_path_factory.mktemp(request.param)
    written = resemblance.export(model, folder / "animals.onnx")
    return imported(written.script), model, folder


@pytest.mark.parametrize("preparation", PREPARATIONS, ids=lambda options: options.get("resize", "as it is"))
@pytest.mark.parametrize("size", SIZES)
def test_its_pixels_are_those_of_the_library(script, size, preparation, tmp_path, monkeypatch):
    module, model, _ = script
    spec = replace(model.spec.image, **preparation)
    monkeypatch.setitem(module.MODEL, "input", input_description(spec))
    for mode in ("L", "RGB", "RGBA", "LA", "I;16"):
        path = tmp_path / f"{mode[:1]}{len(mode)}.png"
        noise(size, mode).save(path)
        pixels = np.asarray(module.prepare(module.read(path)))
        expected = (as_tensor(path, spec).tensor * 255).round().numpy().astype(np.uint8)
        assert np.array_equal(pixels.reshape(*spec.size, -1).transpose(2, 0, 1), expected), mode


@pytest.mark.parametrize("orientation", [1, 3, 6, 7])
@pytest.mark.parametrize("size", [(1003, 707), (1600, 330)])
def test_large_jpegs_are_read_alike(script, size, orientation, tmp_path, monkeypatch):
    """Decoded at a half or a quarter, of sides that these do not divide, and turned."""
    module, model, _ = script
    exif = Image.Exif()
    exif[274] = orientation
    path = tmp_path / "large.jpg"
    noise((size[0] // 20, size[1] // 20), "RGB").resize(size).save(path, exif=exif)
    for preparation in PREPARATIONS[:3]:
        spec = replace(model.spec.image, draft=True, **preparation)
        monkeypatch.setitem(module.MODEL, "input", input_description(spec))
        pixels = np.asarray(module.prepare(module.read(path)))
        expected = (as_tensor(path, spec).tensor * 255).round().numpy().astype(np.uint8)
        assert np.array_equal(pixels.reshape(*spec.size, -1).transpose(2, 0, 1), expected)
        full = as_tensor(path, replace(spec, draft=False)).tensor * 255
        assert not np.array_equal(full.round().numpy(), expected)


def test_what_pillow_cannot_read_is_one_line(script, tmp_path):
    module, _, _ = script
    (tmp_path / "a.dcm").write_bytes(b"\0" * 128 + b"DICM")
    with pytest.raises(SystemExit, match=r"a\.dcm: Pillow cannot read it; save it as PNG"):
        module.read(tmp_path / "a.dcm")


def test_rotated_photographs_and_palettes_are_read_alike(script, tmp_path):
    module, model, _ = script
    turned, palette, twelve = tmp_path / "turned.jpg", tmp_path / "palette.png", tmp_path / "grey.tif"
    exif = Image.Exif()
    exif[274] = 6
    noise((40, 20), "RGB").save(turned, exif=exif)
    noise((40, 20), "RGB").quantize(8).save(palette, transparency=3)
    noise((40, 20), "I;16").save(twelve)
    for path in (turned, palette, twelve):
        pixels = np.asarray(module.prepare(module.read(path)))
        expected = (as_tensor(path, model.spec.image).tensor * 255).round().numpy().astype(np.uint8)
        assert np.array_equal(pixels.reshape(*model.spec.image.size, -1).transpose(2, 0, 1), expected), path


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_its_scores_are_those_of_the_model(script, size, mode, tmp_path):
    module, model, _ = script
    path = tmp_path / "image.png"
    noise(size, mode).save(path)
    result = module.answer(module.prepare(module.read(path)))
    with torch.no_grad():
        output = model(as_tensor(path, model.spec.image).tensor[None])
    assert np.abs(result["scores"] - output.scores[0].numpy()).max() <= 1e-4
    assert result["prediction"] == output.scores.argmax()


def run_script(script: Path, *arguments: object, folder: Path) -> list[str]:
    command = [sys.executable, str(script), *map(str, arguments)]
    done = subprocess.run(
        command,
        capture_output=True,
        encoding="utf-8",
        check=True,
        env={**os.environ, "PYTHONPATH": "", "PYTHONUTF8": "1"},
        cwd=folder,
    )
    assert done.stderr == ""
    return done.stdout.splitlines()


def test_what_it_prints_and_draws(trained, tmp_path):
    """It needs nothing of this library, prints reasons and their sum, and saves the overlay."""
    model = deepcopy(trained("protopnet").model)
    model.gallery = build_gallery(model, digits(96, 40).train)
    written = resemblance.export(model, tmp_path / "digits.onnx")
    path = tmp_path / "images" / "image.png"
    path.parent.mkdir()
    noise((41, 53), "L").save(path)
    lines = run_script(written.script, path, "--top", 3, folder=tmp_path)
    explanation, number = model.explain(path, top=3, against="none"), imported(written.script).number
    assert lines[0].startswith(
        f"{path}: predicted {explanation.predicted} (score {explanation.scores.max():.3f}, probability"
    )
    strongest = max(explanation.breakdown.reasons, key=lambda reason: abs(reason.contribution))
    assert strongest.prototype.title in lines[2]
    assert (
        f"similarity {number(strongest.similarity)}, contribution {number(strongest.contribution, '+')}"
        in lines[3]
    )
    assert sum("contribution " in line for line in lines) == 3
    assert "the reasons add up to the score" in lines
    drawn = tmp_path / "image_why.png"
    assert lines[-1] == f"picture: {drawn.name}"  # not among the images, which would then be one more
    with Image.open(drawn) as sheet:
        left, right = np.asarray(sheet)[:, :395].astype(int), np.asarray(sheet)[:, 405:]
    assert (left[..., 0] > left[..., 2] + 20).any()  # the map, over a grey image
    assert (right == (255, 220, 0)).all(axis=-1).any()  # the prototype's part


@pytest.mark.parametrize(("low", "high", "warns"), [(-1.0, 1.0, False), (0.5, 2.0, True)])
def test_it_warns_of_what_resembles_nothing_known(low, high, warns, tmp_path):
    """The ends are relative to the similarity of the image."""
    model = make(GREY, "protopnet", prototypes_per_class=2, pool="avg")
    path = tmp_path / "image.png"
    noise((41, 53), "L").save(path)
    with torch.no_grad():
        value = float(deciding_similarity(model, model(as_tensor(path, GREY).tensor[None]))[0])
    module = imported(
        resemblance.export(with_reference(model, value + low, value + high), tmp_path / "a.onnx").script
    )
    result = module.answer(module.prepare(module.read(path)))
    text = module.familiarity(result, int(result["prediction"]))
    assert ("WARNING: this image resembles nothing the model knows" in text) == warns
    range_of_most = f"images classified correctly: {value + low + 0.05 * (high - low):.3f} to "
    assert f"similarity {module.number(value)}; {range_of_most}" in text.replace("−", "-")


def test_small_numbers_have_digits(tmp_path):
    """Those of far images, and of hundreds of classes."""
    model = make(GREY, "protopnet", prototypes_per_class=2, pool="avg")
    number = imported(resemblance.export(model, tmp_path / "a.onnx").script).number
    assert [number(value) for value in (7.25, 0.0, 0.01, 0.00012345)] == [
        "7.250",
        "0.000",
        "0.010",
        "0.000123",
    ]
    assert [number(value, "+") for value in (1.5, -0.00012345)] == ["+1.500", "-0.000123"]
    known = references(with_reference(model, 0.0001, 0.0002))[0]["text"]
    assert known == "images classified correctly: 0.0001050 to 0.0001950"


def test_distances_are_shown_as_distances(tmp_path):
    model = make(GREY, "prototypedl", prototypes=5)
    model.assign_owners()
    path = tmp_path / "image.png"
    noise((41, 53), "L").save(path)
    with torch.no_grad():
        similarities = model(as_tensor(path, GREY).tensor[None]).similarities[0]
    written = resemblance.export(with_reference(model, -9.0, -1.0), tmp_path / "a.onnx")
    module = imported(written.script)
    result = module.answer(module.prepare(module.read(path)))
    reasons, shown = module.strongest(result, 2)
    assert reasons[0] == similarities.argmax()
    assert shown[reasons[0]] == pytest.approx(float(similarities.max()), rel=1e-5)
    text = module.familiarity(result, int(result["prediction"]))
    assert "distance² " in text
    assert "1.400 to 8.600" in text


def test_it_is_short_and_reads_on_any_machine(script):
    text = script_text()
    assert text.count("\n") < 190
    assert max(map(len, text.splitlines())) <= 120
    assert "resemblance" not in text.replace("resembles", "")
    compile(text, "explain.py", "exec")
