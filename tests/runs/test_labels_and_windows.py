"""A run remembers the table of its labels and the window of its images, and every command reads them the same way."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

import resemblance
from resemblance.cli.main import main
from resemblance.config.errors import UserError
from resemblance.convert.original import open_original
from resemblance.data.images import read_image
from resemblance.runs.config_file import absolute_table

CLASSES = ("fat", "water", "bone")
LEVELS = dict(zip(CLASSES, (-100, 0, 200), strict=True))


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of signed 16-bit scans, whose table names class, split and patient."""
    folder = tmp_path_factory.mktemp("scans")
    random, rows = np.random.default_rng(0), []
    for number in range(45):
        name, part = CLASSES[number % 3], ("train", "train", "train", "val", "test")[number // 3 % 5]
        values = np.full((28, 28), LEVELS[name]) + random.normal(0, 20, (28, 28))
        Image.fromarray(values.astype(np.int32)).save(folder / f"{number:02d}.tif")
        rows.append(f"{number:02d}.tif,{name},{part}")
    (folder / "labels.csv").write_text("\n".join(["file,class,split", *rows]))
    return folder


OPTIONS = "--encoder small --image-size 28 --epochs 2 --batch-size 9 --no-report --no-progress"


@pytest.fixture(scope="module")
def run(scans: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "kmex"
    window = ["--window", "-160,240"]
    arguments = f"train kmex --data {scans} {OPTIONS} --prototypes-per-class 1 --output {folder}".split()
    assert main([*arguments, *window]) == 0
    return folder


def test_the_window_is_stored_with_the_model_and_the_run(run: Path) -> None:
    stored = json.loads((run / "model" / "config.json").read_text())["spec"]["image"]
    assert stored["window"] == [-160, 240]
    config = yaml.safe_load((run / "config.yaml").read_text())
    assert (config["window"], config["labels"]) == ([-160, 240], None)


def test_a_run_reads_its_images_again_by_its_window(run: Path, scans: Path) -> None:
    opened = resemblance.open_run(run)
    splits = opened.images()
    assert splits.classes == tuple(sorted(CLASSES))
    assert [len(splits.train), len(splits.val), len(splits.test or ())] == [27, 9, 9]
    expected = np.asarray(read_image(scans / splits.train.name(0), window=(-160, 240)))
    np.testing.assert_array_equal(np.asarray(splits.train.read(0)), expected)
    assert len(np.unique(expected)) > 50
    explanations = opened.explain(
        [str(scans / "09.tif"), np.asarray(Image.open(scans / "09.tif"))], maps="none"
    )
    first, second = explanations
    assert first.scores == pytest.approx(second.scores)
    assert opened.evaluate().accuracy == opened.metrics["test"]["accuracy"]


@pytest.mark.parametrize(
    "line",
    ["evaluate RUN", "evaluate RUN --data DATA --labels TABLE", "report RUN --explain 1 --output OUT/a.html"],
)
def test_commands_read_the_images_of_a_run(
    line: str, run: Path, scans: Path, tmp_path: Path, command
) -> None:
    places = {"RUN": run, "DATA": scans, "TABLE": scans / "labels.csv", "OUT": tmp_path}
    words = [
        next((word.replace(k, str(v)) for k, v in places.items() if k in word), word) for word in line.split()
    ]
    code, out, err = command(*words)
    assert code == 0, err
    assert "black and white" not in err + out


def test_true_classes_of_a_table(run: Path, scans: Path, tmp_path: Path) -> None:
    opened = resemblance.open_run(run)
    assert [one.true for one in opened.explain(str(scans), maps="none")] == [
        CLASSES[n % 3] for n in range(45)
    ]
    table = tmp_path / "some.csv"
    table.write_text("file,class\n01,bone\n")
    paths = [str(scans / "00.tif"), str(scans / "01.tif")]
    assert [one.true for one in opened.explain(paths, labels=table, maps="none")] == [None, "bone"]
    with pytest.raises(UserError, match="none of its 1 rows is about one of the 1 images"):
        opened.explain(paths[:1], labels=table, maps="none")


def test_explain_takes_a_table_or_a_class(run: Path, scans: Path, tmp_path: Path, command) -> None:
    words = ["explain", str(run), str(scans / "00.tif"), "--maps", "none", "--output", str(tmp_path / "why")]
    code, out, _ = command(*words, "--labels", str(scans / "labels.csv"), "--json")
    assert code == 0
    assert json.loads(out)[0]["label"] == "fat"
    code, _, err = command(*words, "--labels", str(scans / "labels.csv"), "--label", "fat")
    assert code == 2
    assert "leave out one of them" in err


def test_an_older_run_reads_its_folders(run: Path, scans: Path, tmp_path: Path) -> None:
    """Its config.yaml knows no tables: a table that lies there by now must not change its classes."""
    older = tmp_path / "older"
    shutil.copytree(run, older)
    config = yaml.safe_load((older / "config.yaml").read_text())
    for name in ("labels", "window"):
        del config[name]
    (older / "config.yaml").write_text(yaml.safe_dump(config))
    with pytest.raises(UserError, match="no class folders"):
        resemblance.open_run(older).images()
    assert len(resemblance.open_run(older).images(labels="labels.csv").train) == 27


def test_a_conversion_keeps_the_window(run: Path, scans: Path, tmp_path: Path) -> None:
    converted = resemblance.convert(run, output=tmp_path / "again", prototypes_per_class=1)
    assert converted.model.spec.image.window == (-160, 240)
    converted = resemblance.convert(
        run / "model", str(scans), output=tmp_path / "model", prototypes_per_class=1
    )
    assert converted.model.spec.image.window == (-160, 240)
    assert (
        converted.metrics["test"]["accuracy"]
        == resemblance.open_run(tmp_path / "again").metrics["test"]["accuracy"]
    )


def test_a_model_with_a_window_is_not_converted_on_images_without_it(run: Path, scans: Path) -> None:
    splits = resemblance.open_data(str(scans), window=(-160, 240))
    splits.window = None
    with pytest.raises(UserError, match="add --window -160,240"):
        open_original(
            resemblance.open_run(run).model,
            splits,
            resemblance.runs.keywords.convert_options(None, {}, None, None),
        )


def test_models_of_one_ensemble_read_alike(run: Path, scans: Path, tmp_path: Path) -> None:
    other = resemblance.train(
        "kmex", str(scans), tmp_path / "other", encoder="small", image_size=28, epochs=1, batch_size=9,
        prototypes_per_class=1, window=(-200, 200),
    )  # fmt: skip
    with pytest.raises(UserError, match="same --window, not by"):
        resemblance.evaluate([run, other])


def test_the_place_of_a_table_is_stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "labels.csv").touch()
    monkeypatch.chdir(tmp_path)
    assert absolute_table("labels.csv") == str(tmp_path / "labels.csv")
    assert absolute_table("labels.csv:sex") == f"{tmp_path / 'labels.csv'}:sex"
    assert absolute_table("coarse_label") == "coarse_label"  # a column of Parquet files


def test_splits_that_are_open_take_no_table(scans: Path, tmp_path: Path) -> None:
    splits = resemblance.open_data(str(scans), window=(-160, 240))
    with pytest.raises(UserError, match="labels has no effect here"):
        resemblance.train("kmex", splits, tmp_path / "run", labels="labels.csv")
