"""Test ``resemblance audit`` as a user types it: its files, its exit code, images without labels."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from urllib.parse import unquote
from xml.etree import ElementTree

import pytest

import resemblance
from audit.counting import Counting, NeedsLabels
from commanding import Command
from made_images import png
from resemblance.audit import audit_runner
from resemblance.cli.main import main

pytestmark = pytest.mark.usefixtures("show_traces", "two_checks")
CHECKS = ["--checks", "nonsense,shifts", "--images", "20"]


@pytest.fixture
def two_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit_runner, "CHECKS", {"nonsense": Counting, "shifts": NeedsLabels})


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a run folder with a ProtoPNet."""
    folder = tmp_path_factory.mktemp("runs") / "protopnet"
    quick = [
        "--data",
        "digits",
        "--encoder",
        "small",
        "--no-report",
        "--no-progress",
        "--prototypes-per-class",
        "2",
    ]
    stages = ["--warm-epochs", "1", "--joint-epochs", "1", "--push-every", "2", "--last-epochs", "1"]
    assert main(["train", "protopnet", *quick, *stages, "--output", str(folder)]) == 0
    return folder


def test_page_pictures_json_and_junit(run: Path, tmp_path: Path, command: Command) -> None:
    folder = tmp_path / "audit"
    limits = ["--fail-if", "nonsense>0,shifts>1e9"]
    folder.mkdir()
    for old in ("nonsense-9.png", "head-on-stomach-1.png", "mine-1.png"):
        (folder / old).write_bytes(b"an example of an earlier audit, or another picture")
    code, out, _ = command("audit", run, *CHECKS, *limits, "--output", folder, "--json")
    assert code == 3
    document = json.loads((folder / "audit.json").read_text(encoding="utf-8"))
    assert json.loads(out) == document
    assert document["failed"]
    assert [one["failed"] for one in document["thresholds"]] == [True, False]
    assert document["images"] == 20
    suite = ElementTree.parse(folder / "audit.xml").getroot()
    assert (suite.get("tests"), suite.get("failures"), suite.get("skipped")) == ("4", "1", "0")
    failures = [case.get("name") for case in suite if case.find("failure") is not None]
    assert failures == ["nonsense > 0"]
    page = (folder / "audit.html").read_text(encoding="utf-8")
    assert "The pixels &lt;b&gt;add&lt;/b&gt; up." in page
    assert "A threshold is crossed." in page
    assert "Subtract them." in page
    assert (folder / "nonsense-1.png").read_bytes().startswith(b"\x89PNG")
    assert sorted(path.name for path in folder.glob("*.png")) == [
        "mine-1.png",
        "nonsense-1.png",
        "shifts-1.png",
    ]
    assert not list(folder.glob(".partial*"))


def test_thresholds_that_hold_are_no_failure(run: Path, tmp_path: Path, command: Command) -> None:
    limits = tmp_path / "limits.yaml"
    limits.write_text("fail_if: ['nonsense < 0']", encoding="utf-8")
    code, out, _ = command("audit", run, "--checks", "nonsense", "--thresholds", limits)
    assert code == 0
    assert "Counting: FAILED" in out
    assert "nonsense < 0: held" in out
    assert (run / "audit" / "audit.html").is_file()


def test_the_report_has_the_verdicts_of_the_audit(run: Path, tmp_path: Path, command: Command) -> None:
    copy = tmp_path / "a run: 50% #1"
    shutil.copytree(run, copy, ignore=shutil.ignore_patterns("audit"))
    report = ["report", copy, "--explain", "0", "--data", "digits"]
    assert command(*report)[0] == 0
    assert "under attack" not in (copy / "report.html").read_text(encoding="utf-8")
    assert command("audit", copy, "--checks", "nonsense", "--images", "10")[0] == 0
    assert command(*report)[0] == 0
    page = (copy / "report.html").read_text(encoding="utf-8")
    [address] = re.findall(r'<a href="([^"#]+audit.html)"', page)
    assert (copy / unquote(address)).is_file()
    assert "It failed: Counting." in page
    (copy / "audit" / "audit.json").write_text("damaged", encoding="utf-8")
    assert command(*report)[0] == 0  # the page can be read all the same
    assert "under attack" in (copy / "report.html").read_text(encoding="utf-8")


def test_figures_that_the_folder_claims_are_compared(run: Path, tmp_path: Path, command: Command) -> None:
    folder = tmp_path / "audit"
    whole = ["--checks", "nonsense", "--images", "null", "--output", folder]
    code, out, _ = command("audit", run, *whole)
    assert code == 0
    assert "claimed and measured agree: accuracy, prototypes" in out
    metrics = run / "metrics.json"
    honest = metrics.read_text(encoding="utf-8")
    document = json.loads(honest)
    document["test"]["accuracy"] = 0.999
    metrics.write_text(json.dumps(document), encoding="utf-8")
    try:
        code, out, _ = command("audit", run, *whole)
    finally:
        metrics.write_text(honest, encoding="utf-8")
    assert (
        "! metrics.json claims an accuracy of 99.90 % on test, but measured here on the same 359 images"
        in out
    )
    assert "claims an accuracy of 99.90 %" in (folder / "audit.html").read_text(encoding="utf-8")
    claims = json.loads((folder / "audit.json").read_text(encoding="utf-8"))["claims"]
    assert [claim["differs"] for claim in claims].count(True) == 1


def test_loose_images_are_audited_without_labels(run: Path, tmp_path: Path, command: Command) -> None:
    images = tmp_path / "images"
    images.mkdir()
    for number in range(4):
        (images / f"{number}.png").write_bytes(png(number))
    code, out, error = command("audit", run, *CHECKS, "--data", images, "--output", tmp_path / "out")
    assert code == 0
    assert "not checked: shifts: the classes of the images are not known" in out
    assert "the images have no labels" in error


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--checks", "nonsens"], "there is no check 'nonsens'; did you mean 'nonsense'?"),
        (["--fail-if", "nonsense=1"], "is not a threshold"),
        (["--fail-if", "nonsens>1"], "did you mean 'nonsense'?"),
        (["--fail-if", "nonsense>0,5"], "'5' is not a threshold"),
        (["--thresholds", "nowhere.yaml"], "no such configuration file: 'nowhere.yaml'"),
        (["--data", "nowhere"], "no such data: nowhere"),
        (["--foreign", "nowhere", "--checks", "nonsense"], "no such data: nowhere"),
        (["--eps", "0"], "--eps"),
    ],
)
def test_mistakes_are_named_in_a_line(run: Path, command: Command, options: list[str], says: str) -> None:
    code, _, error = command("audit", run, *options)
    assert code == 2
    assert says in error
    assert error.count("\n") == 1


def test_the_verb_in_python(run: Path, tmp_path: Path) -> None:
    result = resemblance.audit(run, checks="nonsense", images=10, fail_if="nonsense>0", output=tmp_path / "a")
    assert result.failed
    assert (tmp_path / "a" / "audit.html").is_file()
    with pytest.raises(resemblance.UserError, match="audit"):
        resemblance.audit(run, chekcs="nonsense")
    assert not resemblance.open_run(run).audit(checks=["nonsense"], images=10).failed
