"""Test run folders: complete ones, those made by hand, and those of another version."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

import resemblance
from resemblance.cli.main import main
from resemblance.config.errors import UserError
from resemblance.config.training import TrainConfig
from resemblance.runs.config_file import write_config
from resemblance.runs.folders import check_run_folder, find_run_folder, read_config
from resemblance.runs.opening import config_of_run
from resemblance.training.engine.lock import lock_folder

OPTIONS = {"epochs": 1, "batch_size": 128}


@pytest.fixture(scope="module")
def by_hand(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder that `fit` has written, with the model saved into it."""
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


def test_a_model_folder_alone_is_not_a_run(by_hand: Path, tmp_path: Path) -> None:
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
        errors = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("note: ")]
        assert len(errors) == 1
        assert errors[0].startswith(
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


MEASURED = {"confusion": [[0] * 10] * 10}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([], "holds list, not an object"),
        ({"images": 3}, "images: expected a mapping, not 3"),
        ({"images": {"test": "many"}}, "images: expected a whole number, not 'many'"),
        ({"seconds": "long"}, "seconds: expected a number"),
        ({"versions": ["2.0"]}, "versions: expected a mapping"),
        ({"test": 0.9}, "test: expected a mapping, not 0.9"),
        ({"test": MEASURED | {"wrong": {}}}, "test: wrong: expected values"),
        ({"test": MEASURED | {"black_box": "good"}}, "test: black_box: expected a number or null"),
        ({"test": MEASURED | {"measured": {"sparsity": None}}}, "test: measured: expected a number"),
        ({"test": {"confusion": [[1, 2], [3, 4]]}}, "was written by another version"),
        ({"test": {"confusion": [[-1] * 10] * 10}}, "was written by another version"),
        ({"test": {"confusion": [[10**400] * 10] * 10}}, "was written by another version"),
        ("[" * 50_000, "metrics.json: more than 100 lists and objects are nested"),
        ('{"a": ' * 200 + "1" + "}" * 200, "metrics.json: more than 100 lists and objects are nested"),
        ('{"seed": ' + "9" * 5000 + "}", "metrics.json cannot be read: it is not valid JSON"),
        (b"\xff\xfe", "metrics.json cannot be read: it is not valid JSON"),
        (None, "metrics.json cannot be read: Is a directory"),
    ],
)
def test_measurements_of_another_form_are_named_and_left_out_of_a_comparison(
    by_hand: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], content: Any, message: str
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(by_hand, folder)
    (folder / "metrics.json").unlink(missing_ok=True)
    if content is None:
        (folder / "metrics.json").mkdir()
    elif isinstance(content, str | bytes):
        (folder / "metrics.json").write_bytes(content if isinstance(content, bytes) else content.encode())
    else:
        (folder / "metrics.json").write_text(json.dumps(content))
    arguments = ["--explain", "0", "--output", str(tmp_path / "page.html")]
    assert main(["report", str(folder), *arguments]) == 2
    [error] = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("note: ")]
    assert message in error
    assert "metrics.json" in error
    assert main(["report", str(folder), str(by_hand), *arguments]) == 0
    assert f"{message}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("- 1", "does not hold options"),
        ("seed: {}", "seed: expected a whole number or null, not {}"),
        ("split_seed: -1", "split_seed must be at least 0"),
        ("val_fraction: .nan", "val_fraction: not a number"),
        ("val_fraction: 3", "val_fraction must be below 1"),
        ("data: [digits]", "data: expected text or null"),
        ("skip_bad_images: maybe", "skip_bad_images: expected true or false"),
        ("seed: 1\nseed: 2", "line 2: 'seed' is given twice"),
        ("a: &a [x]\nb: [*a, *a]", "anchors and aliases"),
        ("{a: " * 3000, "lists and mappings are nested"),
        (None, "Is a directory"),
    ],
)
def test_a_configuration_of_another_form_is_named(
    by_hand: Path, tmp_path: Path, content: str | None, message: str
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(by_hand, folder)
    if content is None:
        (folder / "config.yaml").mkdir()
    else:
        (folder / "config.yaml").write_text(content)
    with pytest.raises(UserError) as caught:
        resemblance.open_run(folder)
    assert message in str(caught.value)
    assert "config.yaml" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_configurations_around_models(by_hand: Path, tmp_path: Path) -> None:
    assert config_of_run(by_hand) == {}
    assert config_of_run(tmp_path) == {}
    folder = tmp_path / "run"
    shutil.copytree(by_hand, folder)
    (folder / "config.yaml").write_text("seed: 7\n", encoding="utf-8")
    assert config_of_run(folder) == config_of_run(folder / "model") == {"seed": 7}
    (folder / "config.yaml").write_text("seed: [", encoding="utf-8")
    with pytest.raises(UserError, match=r"config\.yaml', line 1: while parsing"):
        resemblance.open_run(folder)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def train_arguments(run: Path, *options: str) -> list[str]:
    arguments = ["train", "prototypedl", "--data", "digits", "--epochs", "1", "--batch-size", "128"]
    return [*arguments, "--no-progress", "--no-report", "--output", str(run), *options]


@pytest.mark.parametrize(
    "options",
    [
        ("--seed", "5"),
        ("--encoder-depth", "3"),
        ("--val-fraction", "0.3"),
        ("--augment", "nothing"),
        ("--precision", "16-mixed", "--accelerator", "cpu"),
        ("--devices", "99"),
    ],
)
def test_a_refused_command_changes_no_file(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: tuple[str, ...]
) -> None:
    kept = contents(trained)
    assert main(train_arguments(trained, "--resume", *options)) == 2
    assert contents(trained) == kept
    assert main(train_arguments(trained)) == 2
    assert contents(trained) == kept
    if options[0] in ("--augment", "--precision", "--devices"):  # these are wrong in a new folder too
        assert main(train_arguments(tmp_path / "new" / "run", *options)) == 2
        assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("trained") / "run"
    assert main(train_arguments(run)) == 0
    assert ".lock" not in contents(run)
    return run


def test_a_damaged_state_is_named_and_the_one_before_it_leads_to_the_same_model(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    shutil.copytree(trained, run)
    state = run / "checkpoints" / "run.ckpt"
    weight = max(torch.load(state, weights_only=True)["model"].values(), key=torch.Tensor.numel)
    data = bytearray(state.read_bytes())
    data[bytes(data).find(weight.numpy().tobytes()) + 3] ^= 0x40
    state.write_bytes(data)
    kept = contents(run)
    capsys.readouterr()
    assert main(train_arguments(run, "--resume")) == 2
    assert contents(run) == kept
    [error] = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("note: ")]
    assert "run.ckpt is damaged" in error
    assert "rename run.ckpt.previous to run.ckpt" in error
    state.with_name("run.ckpt.previous").replace(state)
    assert main(train_arguments(run, "--resume")) == 0
    assert contents(run / "model") == contents(trained / "model")


def test_a_locked_folder_is_refused_by_train_and_convert(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = contents(trained)
    new = tmp_path / "new"
    convert = ["convert", str(trained), "--no-report", "--output", str(new)]
    for folder, command in [
        (trained, train_arguments(trained, "--resume")),
        (new, train_arguments(new)),
        (new, convert),
    ]:
        capsys.readouterr()
        with lock_folder(folder):
            assert main(command) == 2
        [error] = capsys.readouterr().err.splitlines()
        assert f"{folder} is in use: process " in error
    assert contents(trained) == kept
    assert not new.exists()


def test_names_that_are_not_utf8_are_read_back_from_the_configuration(tmp_path: Path) -> None:
    data = os.fsdecode(b"/data/\xff.zip")
    write_config(tmp_path, "train", {"data": data, "note": "\u202e \x1b"})
    assert read_config(tmp_path)["data"] == data
    assert read_config(tmp_path)["note"] == "\u202e \x1b"


@pytest.mark.parametrize("name", [os.fsdecode(b"\xff"), "a\nb"])
def test_a_run_folder_has_a_plain_name(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match="control characters or is not UTF-8; give another --output"):
        check_run_folder(tmp_path / name / "run")
