"""Models are used as people use classifiers: predict, explain many images, and the same defaults everywhere."""

from __future__ import annotations

import csv
import inspect
import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader, TensorDataset

import resemblance
from commanding import Command
from resemblance.config.commands import ExplainCommand
from resemblance.config.errors import UserError
from resemblance.config.image import ImageSpec
from resemblance.config.model import ModelSpec
from resemblance.data.inputs import as_tensor, pixels
from resemblance.explain.explain import explain as explain_image
from resemblance.explaining import explain_each
from resemblance.methods import PrototypeMethod
from resemblance.methods.registry import build


@pytest.fixture(scope="module")
def model() -> PrototypeMethod:
    """An untrained model that reads digits."""
    torch.manual_seed(0)
    spec = ModelSpec(tuple("0123456789"), ImageSpec(28, 28, 1, (0.3,), (0.35,)))
    return build("protopnet", {"encoder": "small"}, spec).eval()


def labelled_folder(folder: Path, count: int) -> list[Path]:
    """Save test digits in class folders, and return the files in the order of their paths."""
    test = resemblance.open_data("digits").test
    for number in range(count):
        path = folder / test.classes[test.labels[number]] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        test.read(number).save(path)
    return sorted(folder.rglob("*.png"))


def test_defaults_are_those_of_the_command() -> None:
    """The same question has the same answer in Python and on the command line."""
    command = {item.name: item for item in fields(ExplainCommand)}
    others = {"labels": "label", "messages": None, "progress": None, "output": None, "model": "run"}
    for function in (resemblance.explain, explain_each, resemblance.Run.explain):
        for name, parameter in list(inspect.signature(function).parameters.items())[2:]:
            option = others.get(name, name)
            if option is not None:
                assert parameter.default == command[option].default, (function, name)
    shared = inspect.signature(PrototypeMethod.explain).parameters
    for name, parameter in inspect.signature(explain_image).parameters.items():
        if name not in ("model", "image"):
            assert shared[name].default == parameter.default, name
            assert name in ("label", "name", "check_maps") or parameter.default == command[name].default, name


@pytest.mark.parametrize("verb", ["explain", "audit", "report"])
def test_the_verbs_of_a_run_have_the_arguments_of_the_functions(verb: str) -> None:
    own, function = (
        list(inspect.signature(getattr(place, verb)).parameters.values())
        for place in (resemblance.Run, resemblance)
    )
    assert [(p.name, p.default, p.kind) for p in own[1:]] == [
        (p.name, p.default, p.kind) for p in function[1:]
    ]


def test_models_predict_what_they_score(model: PrototypeMethod, tmp_path: Path) -> None:
    folder = tmp_path / "images"
    files = labelled_folder(folder, 6)
    assert model.classes == tuple("0123456789")
    inputs = [as_tensor(path, model.spec.image).tensor for path in files]
    scores = model(torch.stack(inputs)).scores
    names = [model.classes[index] for index in scores.argmax(1)]
    probabilities = scores.softmax(1).detach().numpy()
    for several in (folder, torch.stack(inputs), inputs, files):
        assert model.predict(several, batch_size=4) == names
        np.testing.assert_allclose(
            model.predict_proba(several, batch_size=4), probabilities, rtol=1e-4, atol=1e-6
        )
        assert [one.predicted for one in model.explain(several)] == names
    assert model.predict(inputs[0]) == names[:1]
    assert [one.true for one in model.explain(folder)] == [path.parent.name for path in files]
    assert isinstance(model.explain(inputs[0]), resemblance.Explanation)
    assert model.explain(inputs[0][None]).predicted == names[0]
    (folder / "broken.png").write_bytes(b"no image")
    with pytest.raises(
        UserError, match=r"broken\.png"
    ):  # the answers would not be those of the files in order
        model.predict(folder)
    with pytest.raises(UserError, match="there is no image to classify"):
        model.predict([])
    with pytest.raises(UserError, match="divide them by 255"):
        model.predict(inputs[0] * 255)


def test_scores_that_are_not_finite_are_no_answer() -> None:
    spec = ModelSpec(("a", "b"), ImageSpec(28, 28, 1, (0.3,), (0.35,)))
    broken = build("protopnet", {"encoder": "small"}, spec).eval()
    with torch.no_grad():
        broken.prototypes.vectors.fill_(torch.nan)
    for answer in (broken.predict, broken.predict_proba, broken.explain):
        with pytest.raises(UserError, match="scores are not finite"):
            answer(torch.rand(1, 28, 28))


def test_a_data_loader_is_refused_in_one_line(model: PrototypeMethod) -> None:
    loader = DataLoader(TensorDataset(torch.rand(2, 1, 28, 28), torch.tensor([0, 1])))
    with pytest.raises(UserError, match="a DataLoader is not a data set; give the name of one") as refused:
        resemblance.evaluate(model, loader)
    assert "\n" not in str(refused.value)


def test_a_folder_is_explained_with_tables_counts_and_figures_where_asked(
    model: PrototypeMethod, tmp_path: Path, command: Command
) -> None:
    model.save(tmp_path / "model")
    images = torch.rand(12, 1, 28, 28, generator=torch.Generator().manual_seed(2))
    files = []
    for number, image in enumerate(images):  # the first two are in the folder of another class
        [predicted] = model.predict(Image.fromarray(pixels(image)[:, :, 0]))
        folder = tmp_path / "images" / (predicted if number > 1 else str((int(predicted) + 1) % 10))
        folder.mkdir(parents=True, exist_ok=True)
        files.append(folder / f"{number}.png")
        Image.fromarray(pixels(image)[:, :, 0]).save(files[-1])
    files.sort()
    (tmp_path / "images" / "broken.png").write_bytes(b"no image")
    (tmp_path / "images" / "Thumbs.db").write_bytes(b"")
    why = tmp_path / "why"
    arguments = ("explain", tmp_path / "model", tmp_path / "images", "--output", why)
    code, out, err = command(*arguments, "--figures", "wrong", "--batch-size", "5", "--accelerator", "cpu")
    assert code == 0
    assert "1 hidden or system file left out" in err
    assert "1 image that cannot be read left out" in err
    rows = list(csv.DictReader((why / "explanations.csv").open(encoding="utf-8")))
    assert [row["image"] for row in rows] == [
        path.relative_to(tmp_path / "images").as_posix() for path in files
    ]
    assert [row["label"] for row in rows] == [path.parent.name for path in files]
    expected = model.predict(files)
    assert [row["prediction"] for row in rows] == expected
    wrong = [path for path, name in zip(files, expected, strict=True) if path.parent.name != name]
    assert len(wrong) == 2
    assert "12 images: 10 right, 2 wrong" in out
    assert {path.stem for path in why.glob("*.png")} == {"0", "1"}
    assert len((why / "explanations.jsonl").read_text(encoding="utf-8").splitlines()) == 12
    code, out, _ = command(*arguments, "--json")
    assert code == 0
    assert [one["prediction"] for one in json.loads(out)] == expected


def test_an_interrupted_explanation_keeps_what_it_wrote(model: PrototypeMethod, tmp_path: Path) -> None:
    files = labelled_folder(tmp_path / "images", 12)
    explanations = explain_each(model, tmp_path / "images", output=tmp_path / "why", batch_size=4)
    for _ in range(5):
        next(explanations)
    explanations.close()
    rows = list(csv.DictReader((tmp_path / "why" / "explanations.csv").open(encoding="utf-8")))
    assert [row["image"] for row in rows] == [
        path.relative_to(tmp_path / "images").as_posix() for path in files[:5]
    ]
    assert not (tmp_path / "why" / "index.html").exists()


@pytest.mark.parametrize(
    "options",
    [{"classes": ["ten"]}, {"prototypes": [10**6]}, {"against": "x"}, {"maps": "x"}, {"conformal": 0.9}],
)
def test_a_request_that_is_refused_leaves_earlier_explanations(
    model: PrototypeMethod, tmp_path: Path, options: dict[str, Any]
) -> None:
    table = tmp_path / "explanations.csv"
    table.write_text("of earlier images", encoding="utf-8")
    with pytest.raises(UserError):
        resemblance.explain(model, torch.rand(1, 28, 28), output=tmp_path, **options)
    assert table.read_text(encoding="utf-8") == "of earlier images"
    assert [path.name for path in tmp_path.iterdir()] == ["explanations.csv"]


def test_a_page_of_many_images_has_some_right_and_some_wrong_ones(
    model: PrototypeMethod, tmp_path: Path
) -> None:
    images = torch.rand(70, 1, 28, 28)
    predicted = [model.classes.index(name) for name in model.predict(images)]
    labels = [index if number % 2 else (index + 1) % 10 for number, index in enumerate(predicted)]
    names = resemblance.explain(model, images, labels=labels, output=tmp_path / "why")
    assert names.summary == "70 images: 35 right, 35 wrong"
    page = (tmp_path / "why" / "index.html").read_text(encoding="utf-8")
    assert page.count('<details class="panel explanation') == 50
    assert not list((tmp_path / "why").glob("*.png"))
