"""Test every command as a new user would type it, in one process, on the embedded digits."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

import resemblance
from commanding import Command
from resemblance.cli.main import main

pytestmark = pytest.mark.usefixtures("show_traces")
QUICK = ["--encoder", "small", "--batch-size", "64", "--no-report", "--no-progress"]
PARTS = ["--prototypes-per-class", "2", "--warm-epochs", "1", "--joint-epochs", "1", "--push-every", "2"]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a black box, two conversions of it and a ProtoPNet, after short training."""
    folder = tmp_path_factory.mktemp("runs")
    black_box, digits = str(folder / "blackbox"), ["--data", "digits"]
    assert main(["train", "blackbox", *digits, *QUICK, "--epochs", "3", "--output", black_box]) == 0
    convert = ["convert", black_box, "--no-report", "--no-progress", "--output"]
    assert main([*convert, str(folder / "kmex"), "--prototypes-per-class", "3"]) == 0
    assert main([*convert, str(folder / "patches"), "--patches"]) == 0
    parts = ["--output", str(folder / "protopnet"), "--last-epochs", "1"]
    assert main(["train", "protopnet", *digits, *QUICK, *PARTS, *parts]) == 0
    return folder


@pytest.fixture
def images(tmp_path: Path) -> list[str]:
    """Return the paths of two digits with another size and mode than the model's images."""
    from sklearn.datasets import load_digits

    paths = []
    for number, pixels in enumerate(load_digits().images[:2]):
        path = tmp_path / f"digit {number}.png"
        Image.fromarray((pixels * 15.9).astype(np.uint8)).resize((40, 50)).convert("RGB").save(path)
        paths.append(str(path))
    return paths


def test_run_folder(runs: Path) -> None:
    config = yaml.safe_load((runs / "kmex" / "config.yaml").read_text())
    assert config["command"] == "convert"
    assert config["prototypes_per_class"] == 3
    assert {"resemblance", "torch", "python"} <= set(config["versions"])
    metrics = json.loads((runs / "kmex" / "metrics.json").read_text())
    assert metrics["test"]["black_box"] is not None
    assert 0 < metrics["test"]["agreement"] <= 1
    assert 0 <= metrics["test"]["accuracy"] <= 1
    assert np.array(metrics["test"]["confusion"]).sum() == metrics["test"]["images"]
    model = resemblance.load(runs / "kmex")
    assert model.facts["accuracy"]["test"] == metrics["test"]["accuracy"]
    assert len(model.prototypes) == 30
    assert all(item.picture is not None for item in model.gallery)


def test_a_run_can_be_repeated_from_its_configuration(runs: Path, tmp_path: Path) -> None:
    config = runs / "protopnet" / "config.yaml"
    again = tmp_path / "again"
    assert main(["train", "protopnet", "--config", str(config), "--output", str(again)]) == 0
    first, second = (resemblance.load(path).state_dict() for path in (runs / "protopnet", again))
    assert all(first[name].equal(second[name]) or first[name].isnan().any() for name in first)


def test_a_run_is_not_overwritten(runs: Path, command: Command) -> None:
    arguments = ["train", "blackbox", "--data", "digits", *QUICK, "--output", runs / "blackbox"]
    code, _, err = command(*arguments)
    assert code == 2
    assert "already holds a run" in err
    code, out, _ = command(*arguments, "--epochs", 3, "--resume")
    assert code == 0
    assert "finished" in out


def test_explain(runs: Path, images: list[str], tmp_path: Path, command: Command) -> None:
    for name in ("kmex", "patches", "protopnet"):
        folder = tmp_path / name
        code, out, _ = command("explain", runs / name, *images, "--label", "1", "--output", folder)
        assert code == 0
        assert "digit 0.png" in out
        assert {"index.html", "digit 0.png", "digit 1.png"} <= {path.name for path in folder.iterdir()}
    code, out, _ = command(
        "explain", runs / "kmex", images[0], "--json", "--output", tmp_path, "--classes", "3,5"
    )
    assert code == 0
    [explanation] = json.loads(out)
    assert len(explanation["breakdowns"]) == 2


def test_outputs_are_files_or_folders(
    runs: Path, images: list[str], tmp_path: Path, command: Command
) -> None:
    kmex = runs / "kmex"
    (tmp_path / "there").mkdir()
    for verb, arguments, name, file in [
        ("explain", images[:1], "index.html", "why.pdf"),
        ("explain", images, "index.html", "why.html"),
        ("prototypes", [], "prototypes.png", "all.svg"),
        ("evaluate", [], "evaluation.json", "figures.json"),
        ("embed", ["--limit", "20"], "latents.png", "space.png"),
        ("report", ["--explain", "1"], "report.html", "page.html"),
    ]:
        for folder in ("there", "new"):
            assert command(verb, kmex, *arguments, "--output", tmp_path / folder)[0] == 0
            assert (tmp_path / folder / name).is_file(), verb
        code, out, _ = command(verb, kmex, *arguments, "--output", tmp_path / "files" / file)
        assert code == 0
        assert file in out
        assert (tmp_path / "files" / file).is_file(), verb
    assert sorted(path.name for path in (tmp_path / "files").iterdir()) == [
        "all.svg",
        "figures.json",
        "page.html",
        "space.png",
        "why.html",
        "why.pdf",
    ]


def test_prototypes(runs: Path, tmp_path: Path, command: Command) -> None:
    path = tmp_path / "gallery.svg"
    code, out, _ = command("prototypes", runs / "protopnet", "--json", "--output", path)
    assert code == 0
    listed = json.loads(out)["prototypes"]
    assert len(listed) == 20
    assert all(entry["source"] for entry in listed)
    assert path.read_text().lstrip().startswith("<?xml")
    code, out, _ = command("prototypes", runs / "kmex", "--classes", "7", "--output", tmp_path / "g.png")
    assert code == 0
    assert "importance" in out


def test_evaluate(runs: Path, tmp_path: Path, command: Command) -> None:
    code, out, _ = command("evaluate", runs / "kmex", "--json", "--output", tmp_path / "e.json")
    assert code == 0
    assert json.loads(out) == json.loads((tmp_path / "e.json").read_text())
    assert json.loads(out)["gap"] is not None
    assert json.loads(out)["agreement"] == resemblance.load(runs / "kmex").facts["agreement"]["test"]
    code, out, _ = command("evaluate", runs / "kmex" / "model", "--split", "val", "--data", "digits")
    assert code == 0
    assert "143 val images classified correctly" in out
    assert "true \\ predicted" in out
    assert "precision" in out
    assert "gap" in out
    assert "of the images classified as the black box does" in out


def test_evaluate_ensemble(runs: Path, tmp_path: Path, command: Command) -> None:
    names = [runs / "kmex", runs / "protopnet" / "model"]
    code, out, _ = command("evaluate", *names, "--ensemble", "--json", "--output", tmp_path / "e.json")
    assert code == 0
    result = json.loads(out)
    assert result == json.loads((tmp_path / "e.json").read_text())
    assert result["rule"] == "sum of the logits"
    for member, name in zip(result["members"], ("kmex", "protopnet"), strict=True):
        alone = json.loads(command("evaluate", runs / name, "--json")[1])
        assert (member["method"], member["accuracy"]) == (name, alone["accuracy"])
        assert member["confusion"] == alone["confusion"]
    assert result["images"] == 359 == np.sum(result["confusion"])
    code, out, _ = command("evaluate", *names, runs / "patches", "--ensemble", "--split", "val")
    assert code == 0
    assert "3 models, by the mean of the probabilities" in out
    assert "classified correctly" in out
    assert "\nensemble " in out
    assert "precision" in out


def test_report_and_embed(runs: Path, tmp_path: Path, command: Command) -> None:
    page = tmp_path / "all.html"
    names = [runs / name for name in ("blackbox", "kmex", "patches", "protopnet")]
    assert command("report", *names, "--output", page)[0] == 0
    text = page.read_text()
    assert all(name.name in text for name in names)
    assert "<script" not in text
    for name in names:
        code, out, _ = command("embed", name, "--output", tmp_path / f"{name.name}.png", "--limit", 50)
        assert code == 0
        assert "50 test images" in out


def test_a_model_explains_without_its_training_images(
    runs: Path, images: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: Command
) -> None:
    shutil.copytree(runs / "protopnet" / "model", tmp_path / "elsewhere")
    monkeypatch.chdir(tmp_path)
    assert command("explain", "elsewhere", images[0])[0] == 0
    assert (tmp_path / "explanations" / "index.html").is_file()
    code, _, err = command("report", "elsewhere")
    assert code == 0
    assert "explains no images" in err
    code, _, err = command("evaluate", "elsewhere")
    assert code == 2
    assert "add --data" in err


def test_mistakes(runs: Path, images: list[str], tmp_path: Path, command: Command) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(Path(images[0]).read_bytes()[:60])
    kmex = runs / "kmex"
    for arguments, words in [
        (["evaluate", tmp_path / "none"], "no such folder"),
        (["evaluate", images[0]], "is a file"),
        (["evaluate", tmp_path], "neither a run folder"),
        (["evaluate", kmex, "--data", tmp_path / "none"], "none"),
        (["evaluate", kmex, kmex], "--ensemble"),
        (["evaluate", kmex, "--ensemble"], "at least 2 models"),
        (["evaluate", kmex, tmp_path / "none", "--ensemble"], "no such folder"),
        (["evaluate", kmex, "--data", "digit"], "digit"),
        (["explain", kmex, "none.png"], "no such image: none.png"),
        (["explain", kmex, broken], "broken.png"),
        (["explain", kmex, images[0], "--label", "cat"], "no class 'cat'"),
        (["explain", kmex, images[0], "--prototypes", "99"], "99"),
        (["explain", runs / "blackbox", images[0]], "convert"),
        (["prototypes", runs / "blackbox"], "convert"),
        (["prototypes", kmex, "--output", tmp_path / "g.gif"], "must end in .png"),
        (["explain", kmex, images[0], "--output", tmp_path / "g.gif"], "must end in .png"),
        (["explain", kmex, *images, "--output", tmp_path / "g.png"], "2 images need a folder"),
        (["explain", kmex, images[0], "--output", broken / "sub"], "cannot make the folder"),
        (["evaluate", kmex, "--output", broken / "sub"], "cannot make the folder"),
        (["embed", kmex, "--output", Path(images[0]) / "x.png"], "cannot make the folder"),
        (["train", "blackbox", "--data", tmp_path / "none", "--output", tmp_path / "o"], "none"),
        (
            ["train", "blackbox", "--data", "digits", "--output", Path(images[0]) / "o"],
            "cannot make the folder",
        ),
        (
            ["train", "blackbox", "--data", "digits", "--encoder", "resnet81", "--output", tmp_path / "o"],
            "resnet",
        ),
        (["convert", "resnet18", "--data", "digits"], "weights"),
        (["convert", tmp_path / "none"], "none"),
    ]:
        code, out, err = command(*arguments)
        lines = [line for line in err.splitlines() if not line.startswith("note: ")]
        assert (code, len(lines)) == (2, 1), (arguments, err)
        assert words in lines[0]
        assert out == "" or arguments[0] not in ("evaluate", "explain")


def test_broken_images_can_be_left_out(
    runs: Path, images: list[str], tmp_path: Path, command: Command
) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no image")
    code, _, err = command(
        "explain", runs / "kmex", broken, images[0], "--skip-bad-images", "--output", tmp_path / "e"
    )
    assert code == 0
    assert "broken.png" in err


def test_explain_with_a_kind_of_map(runs: Path, images: list[str], tmp_path: Path, command: Command) -> None:
    arguments = ("explain", runs / "kmex", images[0], "--top", "1", "--output", tmp_path / "a.html")
    code, out, _ = command(*arguments, "--maps", "integrated")
    assert code == 0
    assert "(integrated gradients): Removing the" in out
    code, out, _ = command(*arguments, "--maps", "gradient", "--no-check-maps")
    assert code == 0
    assert "Removing the" not in out
    code, _, err = command(*arguments, "--maps", "similarity")
    assert code != 0
    assert "compares whole images" in err
