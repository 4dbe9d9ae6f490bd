"""The Python interface: every verb, and that a run made in Python is the run that the command makes."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch

import resemblance
import resemblance.metrics
from resemblance.cli.main import main
from resemblance.config.errors import UserError
from resemblance.methods import PrototypeDLConfig
from resemblance.runs.keywords import train_options
from resemblance.runs.messages import Messages

QUICK = {"epochs": 1, "batch_size": 128, "patience": 1}
TYPED = ["--epochs", "1", "--batch-size", "128", "--patience", "1", "--no-progress"]


class Heard(Messages):
    """Keeps the lines."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str = "") -> None:
        self.lines.append(text)

    def warn(self, text: str) -> None:
        self.lines.append(f"note: {text}")


class Made(NamedTuple):
    """A run; what was heard while it was made; how often data were opened and models loaded for it."""

    run: resemblance.Run
    lines: list[str]
    counts: Counter[str]


@contextmanager
def counting() -> Iterator[Counter[str]]:
    """Count the calls that open data and load models."""
    counts: Counter[str] = Counter()

    def counted(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            counts[name] += 1
            return function(*arguments, **options)

        return call

    with pytest.MonkeyPatch.context() as patch:
        for module, name in [
            *(
                ("runs.training_run", "open_data"),
                ("runs.conversion_run", "open_data"),
                ("runs.run", "open_data"),
            ),
            *(("runs.opening", "load"), ("convert.original", "load")),
        ]:
            place = import_module(f"resemblance.{module}")
            patch.setattr(place, name, counted(name, getattr(place, name)))
        yield counts


@pytest.fixture(scope="module")
def training(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """A hardly trained PrototypeDL in ``runs/dl`` of a folder of its own, with a report."""
    heard = Heard()
    with pytest.MonkeyPatch.context() as patch, counting() as counts:
        patch.chdir(tmp_path_factory.mktemp("python"))
        run = resemblance.train("prototypedl", "digits", "runs/dl", report=True, messages=heard, **QUICK)
        run.folder = run.folder.resolve()
    return Made(run, heard.lines, counts)


@pytest.fixture
def made(training: Made) -> resemblance.Run:
    return training.run


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> resemblance.Run:
    """A hardly trained black box."""
    folder = tmp_path_factory.mktemp("blackbox") / "blackbox"
    return resemblance.train("blackbox", "digits", folder, encoder="small", image_size=12, **QUICK)


def contents(folder: Path) -> dict[str, Any]:
    """Whatever a run folder says, without times."""
    metrics = json.loads((folder / "metrics.json").read_text())
    del metrics["seconds"]
    said = {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.relative_to(folder).parts[0] not in ("logs", "checkpoints")
    }
    page = said.pop("report.html").decode()
    page = page.partition("Minutes")[0] + page.partition("PyTorch")[2]
    return {**said, "metrics.json": metrics, "report.html": page.rpartition("Made with resemblance")[0]}


def test_a_run_made_in_python_is_the_run_that_the_command_makes(
    made: resemblance.Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["train", "prototypedl", "--data", "digits", *TYPED, "--output", "runs/dl"]) == 0
    assert "report: runs/dl/report.html" in capsys.readouterr().out
    mine, theirs = contents(made.folder), contents(Path("runs/dl"))
    assert mine.keys() == theirs.keys()
    assert {"config.yaml", "metrics.json", "model/config.json", "model/model.safetensors"} <= mine.keys()
    assert [name for name in mine if mine[name] != theirs[name]] == []


def test_nothing_is_printed_and_no_report_written_unless_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    splits = resemblance.open_data("digits")
    run = resemblance.train("prototypedl", splits, **QUICK)
    assert capfd.readouterr() == ("", "")
    assert run.folder == Path("runs/prototypedl-digits")
    assert {path.name for path in run.folder.iterdir()} >= {"config.yaml", "metrics.json", "model"}
    assert not (run.folder / "report.html").exists()
    assert run.config["data"] is None  # splits that were handed over have no name to be opened by
    assert run.images() is splits
    with pytest.raises(UserError, match="add --data"):
        resemblance.open_run(run.folder).evaluate()
    again = resemblance.open_run(run.folder).evaluate(splits)
    assert again.accuracy == run.metrics["test"]["accuracy"]


def test_messages_are_heard(training: Made) -> None:
    lines = training.lines
    assert lines[0] == "note: 359 test images split off (20% of each class, the same for every seed)"
    assert lines[2].startswith("prototypedl on digits: 10 classes, 1295 training")
    assert lines[-1].startswith("trained in")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epoch": 3}, r"train\('prototypedl'\) has no option 'epoch'; did you mean 'epochs'"),
        ({"prototype": 3}, "no option 'prototype'; did you mean 'prototypes'"),
        ({"zzz": 1}, "no option 'zzz'; it has "),
        ({"epochs": "many"}, "epochs: expected a whole number or null, not 'many'"),
        ({"epochs": 0}, "--epochs must be at least 1, not 0"),
        ({"variant": "theirs"}, "theirs"),
        ({"config": PrototypeDLConfig(), "prototypes": 3}, "no option 'prototypes'"),
        ({"config": "small"}, "config is a str, not a PrototypeDLConfig"),
    ],
)
def test_options_that_do_not_fit_are_named(options: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message):
        resemblance.train("prototypedl", "digits", tmp_path / "run", **options)
    assert not (tmp_path / "run").exists()


def test_other_mistakes_are_named(made: resemblance.Run, tmp_path: Path) -> None:
    splits = resemblance.open_data("digits")
    for call, message in [
        (lambda: resemblance.train("prototypedk", "digits"), "unknown method 'prototypedk'; did you mean"),
        (lambda: resemblance.train("ensemble", "digits"), "made of finished models, not trained"),
        (lambda: resemblance.train("prototypedl", splits, val_fraction=0.2), "val_fraction has no effect"),
        (lambda: resemblance.train("prototypedl", "digits", made.folder), "already holds a run"),
        (
            lambda: resemblance.convert(made, weight="x"),
            r"convert\(\) has no option 'weight'; did you mean 'weig",
        ),
        (lambda: made.explain(torch.rand(1, 32, 32), labels=[1, 2]), "2 labels for 1 images"),
        (lambda: made.explain([]), "there is no image to explain"),
        (lambda: made.evaluate(split="tset"), "no split 'tset'"),
        (lambda: resemblance.evaluate([]), "no run and no model is given"),
        (lambda: made.report(tmp_path / "page.pdf"), "must end in .html"),
        (lambda: resemblance.evaluate(made.model), "add --data"),
    ]:
        with pytest.raises(UserError, match=message):
            call()


def test_a_ready_configuration() -> None:
    config = PrototypeDLConfig(prototypes=11)
    own, options = train_options("prototypedl", config, QUICK, "digits", "runs/dl")
    assert own is config
    assert (options.epochs, options.data, options.output) == (1, "digits", Path("runs/dl"))
    assert (options.progress, options.report) == (False, False)


def test_train_opens_the_data_once_and_loads_nothing(training: Made) -> None:
    assert (training.run.folder / "report.html").is_file()
    assert training.counts == {"open_data": 1}


def test_a_run_is_opened_again(made: resemblance.Run) -> None:
    run = resemblance.open_run(made.folder)
    assert isinstance(run, resemblance.Run)
    assert (run.name, run.config, run.metrics, run.notes) == ("dl", made.config, made.metrics, made.notes)
    assert run.images().name == "digits"
    assert repr(run) == f"Run(name='dl', folder={made.folder!r})"
    alone = resemblance.open_run(made.folder / "model")
    assert (alone.name, alone.folder) == ("dl", made.folder)


def test_explain(made: resemblance.Run, tmp_path: Path) -> None:
    test = made.images().test
    picture = tmp_path / "digits" / "one.png"
    picture.parent.mkdir()
    test.read(0).save(picture)
    [single] = made.explain(picture, labels="3")
    assert (single.name, single.label) == (str(picture), 3)
    assert single.to_dict() == made.model.explain(picture, top=5, label="3").to_dict()
    several = resemblance.explain(made.folder, [picture, test.read(1)], labels=[3, None], top=2)
    assert [one.label for one in several] == [3, None]
    assert len(several[1].reasons) == 2
    assert len(made.explain(torch.rand(3, 1, 32, 32))) == 3
    (picture.parent / "none.png").write_bytes(b"")
    with pytest.raises(UserError, match=r"none\.png"):
        made.explain([picture, picture.parent / "none.png"])
    heard = Heard()
    output = tmp_path / "why"
    assert len(made.explain(picture.parent, messages=heard, output=output)) == 1
    assert "left out" in heard.lines[0]
    assert {path.name for path in output.iterdir()} == {
        "index.html",
        "one.png",
        "explanations.csv",
        "explanations.jsonl",
    }
    made.explain(picture, output=tmp_path / "one.svg")
    assert (tmp_path / "one.svg").is_file()


def test_evaluate(made: resemblance.Run, classifier: resemblance.Run) -> None:
    splits = made.images()
    counted = made.metrics["test"]["accuracy"]
    for data in (None, "digits", splits, splits.test):
        assert made.evaluate(data).accuracy == counted
    assert resemblance.evaluate(made.folder).accuracy == counted
    assert resemblance.evaluate(made.model, splits).accuracy == counted
    assert made.evaluate(split="val").images == len(splits.val)
    both = resemblance.evaluate([made, classifier])
    assert both.images == len(splits.test)
    models = [made.model, classifier.model]
    assert both.accuracy == resemblance.evaluate_ensemble(models, splits.test).whole.accuracy
    assert both.accuracy == resemblance.evaluate(resemblance.make_ensemble(models), splits).accuracy
    assert resemblance.evaluate([made]).accuracy == counted


def test_convert(classifier: resemblance.Run, tmp_path: Path) -> None:
    options = {"prototypes_per_class": 2, "force": True}
    with counting() as counts:
        run = resemblance.convert(classifier, output=tmp_path / "kmex", report=True, **options)
    assert counts == {"open_data": 1, "load": 1}  # the classifier itself
    assert "kmex" in (tmp_path / "kmex" / "report.html").read_text()
    assert run.config["data"] == "digits"
    assert run.metrics["test"]["black_box"] == classifier.metrics["test"]["accuracy"]
    assert len(run.model.prototypes) == 20
    order, splits = [str(c) for c in range(10)], run.images()
    twin = resemblance.convert(classifier.model, splits, tmp_path / "twin", classes=order, **options)
    assert torch.equal(twin.model.prototypes.vectors, run.model.prototypes.vectors)
    assert (twin.config["model"], twin.config["classes"]) == (None, order)


def test_report(classifier: resemblance.Run, made: resemblance.Run, tmp_path: Path) -> None:
    page = resemblance.report([classifier, made], tmp_path / "both.html", explain=1, title="Two of them")
    text = page.read_text()
    assert all(words in text for words in ("Two of them", "blackbox", "prototypedl"))
    assert classifier.report() == classifier.folder / "report.html"


def test_the_report_of_a_run_that_was_just_made_is_that_of_the_run_opened_again(
    made: resemblance.Run, tmp_path: Path
) -> None:
    page = resemblance.open_run(made.folder).report(tmp_path / "again.html")
    texts = [path.read_text().rpartition("Made with")[0] for path in (made.folder / "report.html", page)]
    assert texts[0] == texts[1]


def test_the_verbs_stay_functions_whatever_is_imported() -> None:
    import resemblance.convert.conversion
    import resemblance.explain.explain
    import resemblance.report.page

    for name in ("convert", "explain", "report"):
        assert callable(getattr(resemblance, name))
    from resemblance.explain.explain import explain_batch

    assert explain_batch.__module__ == "resemblance.explain.explain"


def test_what_the_documentation_lists_is_what_is_public() -> None:
    page = (Path(__file__).parents[1] / "docs" / "api.md").read_text(encoding="utf-8")
    for package in (resemblance, resemblance.methods, resemblance.metrics):
        for name in package.__all__:
            assert name == "__version__" or f"`{name}`" in page, f"docs/api.md does not list {name}"


def test_a_method_of_this_library_can_be_imported_by_its_class() -> None:
    from resemblance.methods import ProtoPNet, ProtoPNetConfig

    assert ProtoPNetConfig.model.endswith(f":{ProtoPNet.__name__}")
    assert all(getattr(resemblance.methods, name) is not None for name in resemblance.methods.__all__)
    with pytest.raises(AttributeError, match="no attribute 'ProtoNot'"):
        _ = resemblance.methods.ProtoNot
