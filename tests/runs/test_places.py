"""A run made with absolute paths keeps them in its config.yaml alone, from which it is resumed and opened again."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image
from safetensors.torch import save_file

import resemblance
from models import make
from resemblance.cli.main import main
from resemblance.printing.places import last_component, without_places
from resemblance.runs.folders import CONFIG

HOME = "ann lee's secret home"
QUIET = ["--no-progress", "--no-report"]


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    """Make a folder with images, one of them damaged, weights, and runs made from these by absolute paths."""
    home = tmp_path_factory.mktemp("place") / HOME
    rng = np.random.default_rng(0)
    for part, count in (("train", 8), ("val", 4), ("test", 4)):
        for c, name in enumerate(("dark", "light")):
            folder = home / "x rays" / part / name
            folder.mkdir(parents=True)
            for i in range(count):
                pixels = rng.integers(0, 100, (28, 28), dtype=np.uint8) + np.uint8(140 * c)
                Image.fromarray(pixels).save(folder / f"{i}.png")
    (home / "x rays" / "train" / "dark" / "bad.png").write_bytes(b"no picture")
    encoder = make("blackbox", classes=2, encoder="small").encoder
    save_file(encoder.state_dict(), home / "my weights.safetensors")
    data = ["--data", str(home / "x rays"), "--skip-bad-images"]
    trained = ["--weights", str(home / "my weights.safetensors"), "--encoder", "small", "--epochs", "1"]
    runs = home / "runs"
    assert main(["train", "blackbox", *data, *trained, "--output", str(runs / "blackbox"), *QUIET]) == 0
    convert = [
        "convert",
        str(runs / "blackbox"),
        "--force",
        "--prototypes-per-class",
        "1",
        "--skip-bad-images",
    ]
    assert main([*convert, "--output", str(runs / "kmex"), *QUIET]) == 0
    part = ["train", "protopnet", *data, *trained[:4], "--warm-epochs", "1", "--joint-epochs", "0"]
    part += [
        "--last-epochs",
        "1",
        "--push-every",
        "1",
        "--prototypes-per-class",
        "1",
        "--prototype-depth",
        "8",
    ]
    assert main([*part, "--output", str(runs / "protopnet"), *QUIET]) == 0
    return home


def assert_no_place(folder: Path, home: Path) -> None:
    """Check every text in a folder for parts of the path of the home; config.yaml may have them."""
    hidden = re.compile("secret|" + re.escape(home.parent.name) + r"|/tmp/|pytest-of")
    for path in folder.rglob("*"):
        if path.is_file() and path.name != CONFIG and path.suffix not in (".png", ".ckpt", ".pt"):
            text = path.read_bytes().decode("utf-8", "replace").replace("\\/", "/")
            assert not hidden.search(text), (path.relative_to(folder), hidden.search(text))


@pytest.mark.parametrize("name", ["blackbox", "kmex", "protopnet"])
def test_neither_model_nor_measurements_nor_report_say_where_files_lie(home: Path, name: str) -> None:
    run = home / "runs" / name
    assert main(["report", str(run), "--explain", "2"]) == 0
    assert_no_place(run / "model", home)
    for file in ("metrics.json", "report.html"):
        text = (run / file).read_text(encoding="utf-8")
        assert "secret" not in text
        assert "x rays" in text
    description = json.loads((run / "model" / "config.json").read_text())
    assert description["facts"]["data"] == "x rays"
    assert description["config"]["weights"] == "my weights.safetensors"
    if name != "kmex":
        assert "my weights.safetensors" in description["encoder"]


def test_the_run_folder_has_what_opens_its_images_again(home: Path) -> None:
    run = home / "runs" / "kmex"
    config = yaml.safe_load((run / CONFIG).read_text(encoding="utf-8"))
    assert config["data"] == str(home / "x rays")
    opened = resemblance.open_run(run)
    assert len(opened.images().train) == 16
    assert "secret" not in opened.configuration
    assert yaml.safe_load(opened.configuration)["data"] == "x rays"


def test_a_finished_run_is_resumed(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = home / "runs" / "protopnet"
    again = ["train", "protopnet", "--config", str(run / CONFIG), "--resume", *QUIET]
    assert main(again) == 0
    assert "already finished" in capsys.readouterr().out


def test_evaluation_audit_and_explanations_do_not_say_it_either(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, made = home / "runs" / "kmex", home / "made"
    assert main(["evaluate", str(run), "--metrics", "accuracy", "--output", str(made / "evaluation")]) == 0
    assert main(["evaluate", str(run), "--output", str(made / "evaluation.json")]) == 0
    audit = ["audit", str(run), "--checks", "provenance", "--data", str(home / "x rays"), "--skip-bad-images"]
    assert main([*audit, "--output", str(made / "audit")]) in (0, 1)
    image = home / "x rays" / "test" / "dark" / "0.png"
    assert main(["explain", str(run), str(image), "--output", str(made / "why")]) == 0
    assert "0.png" in (made / "why" / "index.html").read_text(encoding="utf-8")
    assert_no_place(made, home)
    claimed = json.loads((made / "evaluation.json").read_text())["claims"]
    assert claimed
    assert all(
        claim["same_images"] for claim in claimed
    )  # although the folder has the name of the data alone


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/home/ann/x rays/", "x rays"),
        ("~/x", "x"),
        ("cub:/data/birds", "cub:birds"),
        (r"C:\Users\ann lee\x.pth", "x.pth"),
        (r"\\server\share\x.pth", "x.pth"),
        ("data/mnist", "data/mnist"),
        ("../data/mnist", "../data/mnist"),
        ("mnist:data/mnist", "mnist:data/mnist"),
        ("digits", "digits"),
        ("torchvision/resnet18", "torchvision/resnet18"),
        ("package.module:function", "package.module:function"),
        ("https://example.org/a/b", "https://example.org/a/b"),
        ("see https://example.org/a/b/c.", "see https://example.org/a/b/c."),
        ("left out: /home/ann/a/b.png: damaged", "left out: b.png: damaged"),
        ("/home/ann/b.png: damaged", "b.png: damaged"),
        ("3 / 4 of them, 1/2, (a)/(b), and/or", "3 / 4 of them, 1/2, (a)/(b), and/or"),
        ("", ""),
        ("/", ""),
    ],
)
def test_only_folders_of_absolute_paths_are_left_out(text: str, expected: str) -> None:
    assert last_component(text) == expected


def test_values_other_than_texts_stay() -> None:
    value = {"a": 1, "b": None, "c": [1.5, True, "/x/y/z"], "/k/k": ("/x/y",)}
    assert without_places(value) == {"a": 1, "b": None, "c": [1.5, True, "z"], "/k/k": ["y"]}
