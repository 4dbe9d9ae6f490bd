"""Test ``resemblance evaluate --metrics`` as a user types it, on the embedded digits; also killed, and repeated."""

from __future__ import annotations

import csv
import json
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

import resemblance
from commanding import Command
from resemblance.cli.main import main
from resemblance.metrics.suite.table import CSV_COLUMNS

pytestmark = pytest.mark.usefixtures("show_traces")
QUICK = ["--encoder", "small", "--batch-size", "64", "--no-report", "--no-progress"]
FEW = ["--images", "24", "--steps", "3", "--batch-size", "8"]
# Kills itself after the second batch whose state was saved.
KILLED = """
import os, signal, sys
from resemblance.cli.main import main
from resemblance.metrics.suite import partial

saved, original = [], partial.atomic_save

def save(content, path):
    original(content, path)
    saved.append(path)
    if len(saved) == 2:
        os.kill(os.getpid(), getattr(signal, sys.argv[1]))

partial.SECONDS, partial.atomic_save = 0.0, save
sys.exit(main(sys.argv[2:]))
"""


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with two black boxes, a conversion of each, and a ProtoPNet."""
    folder = tmp_path_factory.mktemp("runs")
    for seed in ("0", "1"):
        black_box = str(folder / f"blackbox-{seed}")
        train = ["train", "blackbox", "--data", "digits", *QUICK, "--epochs", "2", "--seed", seed]
        assert main([*train, "--output", black_box]) == 0
        convert = ["convert", black_box, "--prototypes-per-class", "2", "--seed", seed, "--no-report"]
        assert main([*convert, "--no-progress", "--output", str(folder / f"kmex-{seed}")]) == 0
    parts = ["--prototypes-per-class", "2", "--warm-epochs", "1", "--joint-epochs", "1", "--push-every", "2"]
    train = ["train", "protopnet", "--data", "digits", *QUICK, *parts, "--last-epochs", "1"]
    assert main([*train, "--output", str(folder / "protopnet")]) == 0
    return folder


def read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def test_one_run(runs: Path, tmp_path: Path, command: Command) -> None:
    out_folder = tmp_path / "all"
    code, out, _ = command(
        "evaluate", runs / "protopnet", "--metrics", "all", *FEW, "--output", out_folder, "--json"
    )
    assert code == 0
    document = read(out_folder / "evaluation.json")
    assert json.loads(out) == document
    plain = json.loads(command("evaluate", runs / "protopnet", "--json")[1])
    assert set(plain) <= set(document)  # what evaluate wrote without measures is there too
    assert document["images"] == 24
    assert set(document["wrong"]) <= set(plain["wrong"])
    assert {one["measure"] for one in document["left_out"]} >= {"attributes", "consistency", "divergence"}
    rows = list(csv.DictReader((out_folder / "evaluation.csv").open(encoding="utf-8")))
    assert tuple(rows[0]) == CSV_COLUMNS
    values = {value["name"]: value for one in document["measures"].values() for value in one["values"]}
    assert {row["name"] for row in rows} == set(values)
    assert (
        float(next(row["value"] for row in rows if row["name"] == "ghosting")) == values["ghosting"]["value"]
    )
    page = (out_folder / "evaluation.html").read_text(encoding="utf-8")
    assert "<script" not in page
    for words in (
        "Relevance ordering",
        "What was not measured",
        values["ghosting"]["says"].replace("'", "&#39;"),
    ):
        assert words in page
    pictures = {path.name for path in out_folder.glob("*.png")}
    assert pictures == {"radar.png", "relevance-ordering.png"}
    assert not list(out_folder.glob(".partial*"))


def test_the_default_folder_is_in_the_run(runs: Path, command: Command) -> None:
    assert command("evaluate", runs / "kmex-0", "--metrics", "ghosting", *FEW)[0] == 0
    assert (runs / "kmex-0" / "evaluation" / "evaluation.html").is_file()


def test_report_and_evaluation_link_to_each_other(runs: Path, tmp_path: Path, command: Command) -> None:
    run = tmp_path / "a run: 50% #1"
    shutil.copytree(runs / "kmex-1", run)
    evaluate = ["evaluate", run, "--metrics", "ghosting", *FEW]
    report = ["report", run, "--explain", "0"]
    evaluation, beside = run / "evaluation" / "evaluation.html", tmp_path / "pages" / "page.html"

    assert command(*evaluate)[0] == 0
    assert links(evaluation) == []
    assert command(*report)[0] == 0
    assert links(run / "report.html") == [evaluation.resolve()]
    assert command(*report, "--output", beside)[0] == 0
    assert links(beside) == [evaluation.resolve()]
    assert command(*evaluate)[0] == 0
    assert links(evaluation) == [(run / "report.html").resolve()]


def links(page: Path) -> list[Path]:
    """Return the files to which a page links."""
    addresses = re.findall(r'<a href="([^"#]+)"', page.read_text(encoding="utf-8"))
    return [(page.parent / unquote(address)).resolve() for address in addresses]


def test_several_runs_and_seeds(runs: Path, tmp_path: Path, command: Command) -> None:
    names = [runs / name for name in ("blackbox-0", "blackbox-1", "kmex-0", "kmex-1", "protopnet")]
    options = ["--metrics", "ghosting,divergence", "--maps", "gradient", *FEW, "--output", tmp_path]
    code, out, _ = command("evaluate", *names, *options)
    assert code == 0
    assert "kmex: mean ± sd (n = 2)" in out
    assert "↓" in out
    document = read(tmp_path / "evaluation.json")
    groups = {group["label"]: group for group in document["groups"]}
    assert {name: len(group["runs"]) for name, group in groups.items()} == {
        "blackbox": 2,
        "kmex": 2,
        "protopnet": 1,
    }
    accuracies = [run["accuracy"] for run in document["runs"] if run["method"] == "kmex"]
    summary = groups["kmex"]["summary"]["accuracy"]["accuracy"]
    assert summary["mean"] == pytest.approx(sum(accuracies) / 2)
    assert summary["deviation"] == pytest.approx(abs(accuracies[0] - accuracies[1]) / 2**0.5)
    by_name = {run["run"]: run for run in document["runs"]}
    for seed in (0, 1):  # each conversion is compared with the black box that it was made of
        black_box, kmex = by_name[f"blackbox-{seed}"], by_name[f"kmex-{seed}"]
        gap = next(v for v in kmex["measures"]["accuracy"]["values"] if v["name"] == "gap")
        assert gap["value"] == pytest.approx(black_box["accuracy"] - kmex["accuracy"])
    assert [one["measure"] for one in by_name["blackbox-0"]["left_out"]] == ["ghosting", "divergence"]


def test_the_papers_definition_uses_prp_and_says_whose_patent_it_is(
    runs: Path, tmp_path: Path, command: Command
) -> None:
    arguments = ["--metrics", "average-drop", "--definition", "paper", *FEW, "--output", tmp_path]
    code, out, err = command("evaluate", runs / "kmex-0", *arguments)
    assert code == 0
    assert "patented" in err
    assert "maps: prp" in out
    assert "patented" in (tmp_path / "evaluation.html").read_text(encoding="utf-8")
    assert read(tmp_path / "evaluation.json")["settings"]["maps"] == "prp"


def test_against_kmex_with_maps_of_the_same_images(runs: Path, tmp_path: Path, command: Command) -> None:
    options = ["--against-kmex", "--maps-figure", "3", "--blackbox", runs / "blackbox-1", *FEW]
    assert command("evaluate", runs / "protopnet", *options, "--output", tmp_path)[0] == 0
    own, kmex = read(tmp_path / "evaluation.json")["runs"]
    assert (own["run"], kmex["run"], kmex["kmex_of"]) == ("protopnet", "kmex of protopnet", "protopnet")
    assert kmex["prototypes"] == own["prototypes"] == 20
    assert set(kmex["measures"]) == {"accuracy", "ghosting", "diversity"}
    for name in ("prototypes-protopnet.png", "maps.png"):
        assert (tmp_path / name).stat().st_size > 10_000


def test_attributes_of_the_digits(runs: Path, tmp_path: Path, command: Command) -> None:
    train = resemblance.open_data("digits").train
    bright = [int(train.read(index).getextrema()[1] > 250) for index in range(len(train))]
    table = tmp_path / "attributes.csv"
    lines = [
        f"{train.name(index)},{int(train.labels[index] == 0)},{bright[index]}" for index in range(len(train))
    ]
    table.write_text("\n".join(["image,zero,bright", *lines]), encoding="utf-8")
    names = [runs / "kmex-0", runs / "protopnet"]
    options = ["--metrics", "attributes", "--attributes", table, *FEW, "--output", tmp_path / "out"]
    assert command("evaluate", *names, *options)[0] == 0
    measured = read(tmp_path / "out" / "evaluation.json")["runs"][0]["measures"]["attributes"]
    assert measured["values"][0]["value"] == 2
    assert (tmp_path / "out" / "attributes.png").stat().st_size > 10_000


def test_masks_of_the_digits(runs: Path, tmp_path: Path, command: Command) -> None:
    boxes = tmp_path / "boxes.csv"
    test = resemblance.open_data("digits").test
    assert test is not None
    lines = [f"{test.name(index)},0,0,16,32" for index in range(len(test))]
    boxes.write_text("\n".join(["image,x0,y0,x1,y1", *lines]), encoding="utf-8")
    options = [
        "--metrics",
        "pointing-game,relevance-mass,consistency,purity",
        "--regions",
        f"boxes:{boxes}",
        *FEW,
    ]
    code, _, err = command("evaluate", runs / "protopnet", *options, "--output", tmp_path / "out")
    assert code == 0, err
    measures = read(tmp_path / "out" / "evaluation.json")["measures"]
    mass = measures["relevance-mass"]["values"][0]
    assert mass["baseline"] == pytest.approx(0.5)
    assert 0 <= mass["value"] <= 1
    assert measures["pointing-game"]["values"][0]["baseline_of"] == "best constant place"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["SIGKILL", "SIGINT"])
def test_an_evaluation_that_was_stopped_goes_on(
    runs: Path, tmp_path: Path, command: Command, name: str
) -> None:
    arguments = ["evaluate", str(runs / "kmex-0"), str(runs / "protopnet"), "--metrics", "all", *FEW]
    assert command(*arguments, "--output", tmp_path / "whole")[0] == 0
    stopped = [*arguments, "--output", str(tmp_path / "stopped")]
    result = subprocess.run(
        [sys.executable, "-c", KILLED, name, *stopped], capture_output=True, text=True, check=False
    )
    expected = -signal.SIGKILL if name == "SIGKILL" else 130
    assert result.returncode == expected, result.stderr
    if name == "SIGINT":
        assert "repeat the command to go on" in result.stderr
    assert len(list((tmp_path / "stopped").glob(".partial*.pt"))) == 1
    assert command(*stopped)[0] == 0
    for file in ("evaluation.json", "evaluation.csv", "relevance-ordering.png"):
        assert (tmp_path / "stopped" / file).read_bytes() == (tmp_path / "whole" / file).read_bytes()
    assert not list((tmp_path / "stopped").glob(".partial*"))


def test_python_gives_what_the_command_gives(runs: Path, tmp_path: Path, command: Command) -> None:
    arguments = ["--metrics", "ghosting,average-drop", *FEW, "--output", tmp_path / "command"]
    assert command("evaluate", runs / "protopnet", *arguments)[0] == 0
    evaluation = resemblance.evaluate(
        runs / "protopnet",
        metrics=["ghosting", "average-drop"],
        images=24,
        steps=3,
        batch_size=8,
        output=tmp_path / "python",
    )
    files = [tmp_path / place / "evaluation.json" for place in ("command", "python")]
    assert files[0].read_bytes() == files[1].read_bytes()
    assert evaluation.to_dict() == read(files[0])
    assert resemblance.open_run(runs / "protopnet").evaluate(metrics="calibration", images=24).measures == (
        "accuracy",
        "calibration",
    )
    model = resemblance.load(runs / "protopnet" / "model")
    test = resemblance.open_data("digits").test
    [run] = resemblance.evaluate(model, test, metrics="ghosting", images=24).measured
    assert [one.reason for one in run.result.left_out] == ["the training images are not available"]


def test_mistakes(runs: Path, tmp_path: Path, command: Command) -> None:
    kmex, table = runs / "kmex-0", tmp_path / "none.csv"
    for arguments, words in [
        ([kmex, "--metrics", "ghost"], "did you mean 'ghosting'"),
        ([kmex, "--metrics", "all", "--ensemble"], "--ensemble measures accuracy alone"),
        (
            [kmex, "--metrics", "all", "--maps", "gradient", "--definition", "paper"],
            "leave out --maps gradient",
        ),
        ([kmex, "--metrics", "attributes"], "attributes needs --attributes FILE"),
        ([kmex, "--metrics", "purity"], "purity needs --regions KIND:PATH"),
        ([kmex, "--metrics", "all", "--attributes", table], "there is no such file"),
        ([kmex, "--metrics", "ghosting", "--regions", "masks:x"], "no measure that reads it"),
        ([kmex, "--metrics", "purity", "--regions", "mask:x"], "expected KIND:PATH"),
        ([kmex, "--blackbox", runs / "blackbox-0"], "add --metrics"),
        ([kmex, kmex, "--metrics", "ghosting"], "is given twice"),
        ([kmex, runs / "blackbox-0"], "--metrics"),
        ([kmex, "--metrics", "ghosting", "--output", tmp_path / "e.json"], "a folder is expected"),
        ([kmex, "--metrics", "ghosting", "--images", "0"], "at least 1"),
    ]:
        code, _, err = command("evaluate", *arguments)
        lines = [line for line in err.splitlines() if not line.startswith("note: ")]
        assert (code, len(lines)) == (2, 1), (arguments, err)
        assert words in lines[0]
    for options, words in [
        ({"metrics": "ghost"}, "did you mean"),
        ({"images": 3}, "images has no effect without metrics"),
        ({"metrics": "ghosting", "image": 3}, "did you mean 'images'"),
        ({"metrics": "ghosting", "maps": "prb"}, "maps"),
    ]:
        with pytest.raises(resemblance.UserError, match=words):
            resemblance.evaluate(kmex, **options)  # type: ignore[call-overload]
