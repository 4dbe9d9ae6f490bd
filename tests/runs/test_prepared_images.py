"""A run prepares its images in one way everywhere: training, evaluation, explanations, galleries, conversion."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

import resemblance
from resemblance.cli.main import main
from resemblance.config.errors import UserError
from resemblance.config.groups import ImageOptions
from resemblance.config.image import ImageSpec
from resemblance.config.model import ModelSpec
from resemblance.config.runs import ConvertOptions
from resemblance.convert.original import open_original
from resemblance.data.transforms import to_pixels
from resemblance.methods.saving import save
from resemblance.runs.images import image_spec, overview, start_spec

CLASSES = {"dark": 30, "grey": 120, "light": 220}


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of wide and high pictures, whose middle shows the class; the ends have any brightness."""
    folder = tmp_path_factory.mktemp("photographs")
    random = np.random.default_rng(0)
    for split, count in (("train", 12), ("val", 5), ("test", 5)):
        for name, level in CLASSES.items():
            (folder / split / name).mkdir(parents=True)
            for number in range(count):
                ends = random.choice(list(CLASSES.values()), 2)
                parts = [np.full((28, 30), ends[0]), np.full((28, 28), level), np.full((28, 30), ends[1])]
                pixels = np.clip(np.concatenate(parts, axis=1) + random.normal(0, 9, (28, 88)), 0, 255)
                pixels = pixels if number % 2 else pixels.T
                Image.fromarray(pixels.astype(np.uint8)).save(folder / split / name / f"{number}.png")
    return folder


@pytest.fixture(scope="module")
def run(photographs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "crop"
    options = f"train kmex --encoder small --data {photographs} --image-size 28 --resize crop --interpolation bicubic"
    options += (
        f" --epochs 2 --batch-size 12 --prototypes-per-class 1 --no-report --no-progress --output {folder}"
    )
    assert main(options.split()) == 0
    return folder


def test_the_preparation_is_stored_and_used(
    run: Path, photographs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stored = json.loads((run / "model" / "config.json").read_text())["spec"]["image"]
    assert (stored["resize"], stored["crop_share"], stored["interpolation"]) == ("crop", 1.0, "bicubic")
    assert stored["draft"] is True
    assert yaml.safe_load((run / "config.yaml").read_text())["resize"] == "crop"
    opened = resemblance.open_run(run)
    file = photographs / "test" / "grey" / "1.png"
    [explanation] = resemblance.explain(opened, file)
    expected = to_pixels(Image.open(file), opened.model.spec.image)
    np.testing.assert_array_equal(explanation.image[..., :1], expected)
    assert explanation.preparation is not None
    assert explanation.preparation.visible == (30, 0, 58, 28)
    for item in opened.model.gallery:
        source = Image.open(photographs / "train" / Path(item.name).relative_to(Path(item.name).parents[1]))
        seen = to_pixels(source, opened.model.spec.image)
        assert item.picture is not None
        np.testing.assert_array_equal(np.atleast_3d(item.picture)[..., :1], seen)
    main(["evaluate", str(run), "--json"])
    assert '"test"' in capsys.readouterr().out
    converted = resemblance.convert(run, str(photographs), tmp_path / "converted", prototypes_per_class=1)
    assert converted.model.spec.image == opened.model.spec.image


def test_pretrained_weights_bring_their_preparation(photographs: Path) -> None:
    splits = resemblance.open_data(str(photographs))
    spec = image_spec(splits, ImageOptions(), "tf_efficientnet_lite0", "pretrained")
    half = (0.5,) * 3
    assert spec == ImageSpec(224, 224, 3, half, half, "crop", 0.875, "bicubic", draft=True)
    spec = image_spec(
        splits, ImageOptions(image_size=96, resize="pad"), "tf_efficientnet_lite0", "pretrained"
    )
    assert spec == ImageSpec(96, 96, 3, half, half, "pad", 1.0, "bicubic", draft=True)
    spec = image_spec(splits, ImageOptions(image_size=28, crop_share=0.5, mean=(0.1,), std=(0.2,)), "small")
    assert spec == ImageSpec(28, 28, 1, (0.1,), (0.2,), "squash", 0.5, draft=True)
    assert "at 28x28, cropped to 50 %, grey" in overview(splits, ModelSpec(splits.classes, spec))
    padded = image_spec(splits, ImageOptions(image_size=28, resize="pad"), "small")
    assert padded.mean == image_spec(splits, ImageOptions(image_size=28), "small").mean  # without the padding
    assert padded.padding == padded.mean


def test_wrong_options_are_refused_in_one_line(photographs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for option, value in (
        ("resize", "zoom"),
        ("crop-share", "0"),
        ("crop-share", "1.5"),
        ("interpolation", "cubic"),
    ):
        assert main(["train", "kmex", "--data", str(photographs), f"--{option}", value]) == 2
        error = capsys.readouterr().err.strip().splitlines()
        assert f"--{option}" in error[-1]


def test_a_started_run_keeps_the_preparation_of_its_start(run: Path, photographs: Path) -> None:
    splits = resemblance.open_data(str(photographs))
    assert start_spec(str(run), splits, ImageOptions()).image.resize == "crop"
    with pytest.raises(UserError, match="--resize pad contradicts --start"):
        start_spec(str(run), splits, ImageOptions(resize="pad"))


def test_models_of_earlier_versions_go_on_to_read_whole_files(
    run: Path, photographs: Path, tmp_path: Path
) -> None:
    """Their folders do not say whether large JPEGs are drafted; new models choose it."""
    splits = resemblance.open_data(str(photographs))
    model = resemblance.open_run(run).model
    model.spec = replace(model.spec, image=replace(model.spec.image, draft=False))
    save(model, old := tmp_path / "old")
    assert "draft" not in json.loads((old / "config.json").read_text())["spec"]["image"]
    opened = resemblance.open_run(old).model
    assert not opened.spec.image.draft
    assert not start_spec(str(old), splits, ImageOptions()).image.draft
    with pytest.raises(UserError, match="--draft True contradicts --start"):
        start_spec(str(old), splits, ImageOptions(draft=True))
    for given, expected in ((None, False), (True, True)):
        options = ConvertOptions(draft=given)
        assert open_original(opened, splits, options).spec.image.draft is expected
    for given, expected in ((None, True), (False, False)):
        assert image_spec(splits, ImageOptions(draft=given), None).draft is expected
