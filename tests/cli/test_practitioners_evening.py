"""The guide's evening: somebody's state dict, deep images in one folder, a table with patients; five commands."""

from __future__ import annotations

import csv
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from commanding import Command
from made_xrays import FINDINGS, MEAN, SHARE, SIDE, STD, WHITE, trained_network, write_images
from resemblance.data.open import open_data

pytestmark = pytest.mark.usefixtures("show_traces")
PATIENTS = 200


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    """The state dict of her network."""
    path = tmp_path_factory.mktemp("weights") / "resnet18.pth"
    torch.save(trained_network().state_dict(), path)
    return path


def listed(values: tuple[float, ...]) -> str:
    return ",".join(map(str, values))


@pytest.mark.parametrize(
    "kind", [pytest.param("png", marks=pytest.mark.slow), pytest.param("dcm", marks=pytest.mark.nightly)]
)
def test_five_commands(kind: str, weights: Path, tmp_path: Path, command: Command) -> None:
    if kind == "dcm":
        pytest.importorskip("pydicom")
    files = write_images(tmp_path / "xrays", PATIENTS, dicom=kind == "dcm")
    data = ["--data", tmp_path / "xrays", "--labels", "labels.csv:finding", "--window", f"0,{WHITE}"]
    size = ["--image-size", SIDE, "--resize", "crop", "--crop-share", SHARE]
    values = ["--mean", listed(MEAN), "--std", listed(STD)]
    run = tmp_path / "runs" / "xrays"
    network = ["torchvision/resnet18", "--weights", weights]
    code, out, err = command(
        "convert", *network, *data, *size, *values, "--output", run, "--no-progress", "--val-fraction", 0.2
    )
    assert code == 0, err
    assert "images of one patient stay together" in err
    measured = json.loads((run / "metrics.json").read_text(encoding="utf-8"))["test"]
    assert measured["black_box"] > 0.75
    assert measured["agreement"] > 0.75

    splits = open_data(str(tmp_path / "xrays"), labels="labels.csv:finding", window=(0, WHITE))
    with (tmp_path / "xrays" / "labels.csv").open(encoding="utf-8") as table:
        patients = {row["file"]: row["patient"] for row in csv.DictReader(table)}
    parts = [
        {patients[Path(part.name(i)).name] for i in range(len(part))} for part in (splits.train, splits.test)
    ]
    assert not parts[0] & parts[1]

    code, out, err = command("evaluate", run)
    assert code == 0, err
    assert f"{measured['accuracy']:.2%}".replace("%", " %") in out

    image = files[1][0]
    code, out, err = command("explain", run, image, "--output", tmp_path / "why")
    assert code == 0, err
    predicted = re.search(r"predicted (\w+) \(score (\d\.\d+)\)", out)
    assert predicted is not None
    assert predicted[1] in FINDINGS
    assert "the original classifier says" in out
    assert (tmp_path / "why" / "index.html").is_file()

    page = tmp_path / "report.html"
    code, out, err = command("report", run, "--explain", 2, "--output", page)
    assert code == 0, err
    text = page.read_text(encoding="utf-8")
    assert all(name in text for name in FINDINGS)

    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    code, out, err = command("export", run, "--onnx", tmp_path / "deploy" / "xrays.onnx")
    assert code == 0, err
    described = json.loads((tmp_path / "deploy" / "xrays.onnx.json").read_text(encoding="utf-8"))
    assert described["classes"] == list(FINDINGS)
    assert described["input"]["window"] == [0, WHITE]
    assert_script_agrees(tmp_path / "deploy" / "xrays_explain.py", image, predicted, kind)


def assert_script_agrees(script: Path, image: Path, predicted: re.Match[str], kind: str) -> None:
    """The script says the same of a PNG file, and of a DICOM file that Pillow cannot read it."""
    done = subprocess.run(
        [sys.executable, str(script), str(image)], capture_output=True, encoding="utf-8", cwd=script.parent
    )
    if kind == "dcm":
        assert done.returncode == 1
        assert "Pillow cannot read it" in done.stderr
        return
    assert f"predicted {predicted[1]} (score {predicted[2]})" in done.stdout
    assert "the reasons add up to the score" in done.stdout
