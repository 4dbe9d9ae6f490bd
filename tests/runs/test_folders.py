"""Run folders: whole ones, those made by hand, and those of another version."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

import resemblance
from resemblance.cli.main import main
from resemblance.config.errors import UserError
from resemblance.config.training import TrainConfig
from resemblance.runs.folders import find_run_folder
from resemblance.runs.opening import config_of_run

OPTIONS = {"epochs": 1, "batch_size": 128}


@pytest.fixture(scope="module")
def by_hand(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that `fit` has filled, with the model saved into it."""
    folder = tmp_path_factory.mktemp("runs") / "by-hand"
    splits = resemblance.open_data("digits")
    spec = resemblance.ModelSpec(splits.classes, resemblance.infer_image_spec(splits))
    torch.manual_seed(0)
    model = resemblance.build("prototypedl", {}, spec)
    resemblance.fit(model, splits, folder, TrainConfig(**OPTIONS, progress=False))
    with pytest.raises(UserError, match="holds a run that is not finished"):
        resemblance.open_run(folder)
    model.save(folder / "model")
    return folder


def test_a_run_made_by_hand_is_a_run(
    by_hand: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in (by_hand, by_hand / "model"):
        run = resemblance.open_run(path)
        assert (run.name, run.folder, run.config, run.metrics) == ("by-hand", by_hand, {}, {})
    with pytest.raises(UserError, match="add --data"):
        run.evaluate()
    picture = tmp_path / "digit.png"
    resemblance.open_data("digits").test.read(0).save(picture)
    for line in [
        ("evaluate", by_hand, "--data", "digits"),
        ("report", by_hand, "--data", "digits", "--explain", 1),
        ("report", by_hand, "--explain", 1),
        ("prototypes", by_hand),
        ("embed", by_hand, "--data", "digits"),
        ("explain", by_hand, picture),
    ]:
        assert main([str(word) for word in line]) == 0, capsys.readouterr().err
    assert "explains no images" in capsys.readouterr().err
    assert {"report.html", "prototypes.png", "latents.png", "explanations"} <= {
        path.name for path in by_hand.iterdir()
    }


def test_a_model_folder_alone_is_not_taken_for_a_run(by_hand: Path, tmp_path: Path) -> None:
    shutil.copytree(by_hand / "model", tmp_path / "model")
    run = resemblance.open_run(tmp_path / "model")
    assert (run.name, run.folder) == ("model", None)
    assert find_run_folder(tmp_path / "model") is None
    assert find_run_folder(by_hand / "logs") is None


def test_a_run_of_another_version_cannot_be_resumed_and_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    arguments = ["train", "prototypedl", "--data", "digits", "--epochs", "1", "--batch-size", "128"]
    arguments += ["--no-progress", "--no-report", "--output", str(run)]
    assert main(arguments) == 0
    state = run / "checkpoints" / "run.ckpt"
    content = torch.load(state, weights_only=True)
    for older in ({**content, "moments": {}}, {k: v for k, v in content.items() if k != "optimizer_state"}):
        torch.save(older, state)
        capsys.readouterr()
        assert main([*arguments, "--resume"]) == 2
        said = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("note: ")]
        assert len(said) == 1
        assert said[0].startswith(
            f"resemblance: error: the run in {run} was made by another version and cannot be resumed"
        )


def test_metrics_of_another_version_are_named(by_hand: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(by_hand, folder)
    (folder / "metrics.json").write_text(json.dumps({"test": {"accuracy": 0.5, "matrix": []}}))
    run = resemblance.open_run(folder)
    assert run.metrics["test"]["accuracy"] == 0.5
    with pytest.raises(UserError, match=r"metrics\.json was written by another version"):
        run.report(data="digits")
    (folder / "metrics.json").write_text("{")
    with pytest.raises(UserError, match=r"metrics\.json cannot be read"):
        resemblance.open_run(folder).report(data="digits")


def test_configurations_around_models(by_hand: Path, tmp_path: Path) -> None:
    assert config_of_run(by_hand) == {}
    assert config_of_run(tmp_path) == {}
    folder = tmp_path / "run"
    shutil.copytree(by_hand, folder)
    (folder / "config.yaml").write_text("seed: 7\n", encoding="utf-8")
    assert config_of_run(folder) == config_of_run(folder / "model") == {"seed": 7}
    (folder / "config.yaml").write_text("seed: [", encoding="utf-8")
    with pytest.raises(UserError, match=r"config\.yaml cannot be read"):
        resemblance.open_run(folder)
