"""Explanations of many images: counts, tables that lose nothing, figures, and how they show themselves."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from resemblance.explain.explain import explain, explain_batch
from resemblance.explain.many.explanation_table import COLUMNS, explanation_files
from resemblance.explain.many.explanations import Explanations
from resemblance.explain.many.tally import Tally
from resemblance.explain.prototype_view import prototype_views
from resemblance.methods.model_html import model_html
from resemblance.prototypes.gallery import Gallery, GalleryItem, Picture
from resemblance.report.figure_drawing import draw_figures
from toy_model import Toy


@pytest.fixture
def images() -> torch.Tensor:
    return torch.rand(5, 3, 16, 16, generator=torch.Generator().manual_seed(1))


def shown() -> Toy:
    """A model whose prototypes have pictures."""
    model = Toy()
    source = Picture.from_pixels(np.full((16, 16, 3), 90, np.uint8))
    model.gallery = Gallery(
        [GalleryItem("training image", "<b>.png", (0, 0, 8, 8), source)] * len(model.prototypes)
    )
    return model


def test_right_wrong_and_unknown_are_counted(images):
    model = Toy()
    predictions = model(images).scores.argmax(1).tolist()
    labels = [predictions[0], predictions[1], (predictions[2] + 1) % 3, None, None]
    tally = Tally(explain_batch(model, images, labels=labels))
    assert tally.sentence() == "5 images: 2 right, 1 wrong, 2 whose class is not known"
    assert tally.groups["right"] == 2
    assert Tally().sentence() == "0 images"
    counts = Tally(explain_batch(model, images)).sentence()
    assert re.fullmatch(r"5 images: \d predicted \w+(, \d predicted \w+)*", counts)


def test_the_tables_hold_all_that_was_explained_when_the_work_is_interrupted(images, tmp_path):
    explanations = explain_batch(shown(), images, labels=[0, 1, 2, 0, 1])
    table = tmp_path / "explanations.csv"
    with explanation_files(tmp_path) as files:
        for number, explanation in enumerate(explanations[:3]):
            files.add(explanation)
            # Read while the files are open, as somebody would after the process was killed.
            assert len(list(csv.DictReader(table.open(encoding="utf-8")))) == number + 1
    rows = list(csv.DictReader(table.open(encoding="utf-8")))
    lines = (tmp_path / "explanations.jsonl").read_text(encoding="utf-8").splitlines()
    assert list(rows[0]) == list(COLUMNS)
    assert [json.loads(line) for line in lines] == [one.to_dict() for one in explanations[:3]]
    for row, explanation in zip(rows, explanations, strict=False):
        best = explanation.reasons[0]
        assert row["prediction"] == explanation.predicted
        assert row["correct"] == str(explanation.correct).lower()
        assert int(row["prototype"]) == best.prototype.index
        assert row["source"] == "<b>.png"
        assert float(row["contribution"]) == best.contribution
        assert float(row["score"]) == pytest.approx(explanation.breakdown.score, rel=1e-6)


def test_each_part_shows_itself_in_one_short_line(images):
    model = shown()
    explanation = explain(model, images[0], label=0, check_maps=False)
    reason = explanation.reasons[0]
    parts = [
        explanation,
        reason,
        reason.prototype,
        reason.prototype.item,
        explanation.breakdown,
        model.gallery,
    ]
    parts += [reason.prototype.item.source, Explanations([explanation] * 3), prototype_views(model)[:2]]
    for part in parts:
        text = repr(part)
        assert "\n" not in text
        assert len(text) < 250, text
    assert explanation.predicted in repr(explanation)
    assert str(reason.prototype.index) in repr(reason)


def test_notebooks_show_them_in_their_own_colours(images):
    model = shown()
    explanations = Explanations(explain_batch(model, images))
    for html in (
        model_html(model),
        model.gallery._repr_html_(),
        prototype_views(model)[0]._repr_html_(),
        explanations._repr_html_(),
        explanations[0]._repr_html_(),
    ):
        assert "<script" not in html
        assert "<b>.png" not in html
        assert html.startswith('<div class="resemblance')
    for html in (model_html(model), explanations._repr_html_()):
        assert not re.search(r"(background|color):\s*#", html)
        assert "data:image/png;base64," in html
    fragment = re.search(r"\.resemblance\.fragment \{[^}]*\}", explanations[0]._repr_html_()).group()
    assert "--back: transparent" in fragment
    assert "background: none" in fragment


def test_figures_drawn_by_several_processes_are_those_of_one(images, tmp_path):
    explanations = explain_batch(shown(), images[:3])
    for processes, name in ((1, "one"), (2, "two")):
        paths = [tmp_path / name / f"{number}.png" for number in range(3)]
        draw_figures(list(zip(explanations, paths, strict=True)), processes=processes)
    for number in range(3):
        one, two = (tmp_path / name / f"{number}.png" for name in ("one", "two"))
        assert one.read_bytes() == two.read_bytes()


def test_a_figure_that_cannot_be_written_is_reported(images, tmp_path):
    from resemblance.config.errors import UserError

    (tmp_path / "file").write_text("")
    explanations = explain_batch(shown(), images[:2])
    jobs = [(one, Path(tmp_path / "file" / f"{number}.png")) for number, one in enumerate(explanations)]
    with pytest.raises(UserError, match="file"):
        draw_figures(jobs, processes=2)
