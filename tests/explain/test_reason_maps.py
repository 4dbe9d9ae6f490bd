"""The maps and checks of an explanation: as data, in words, in figures and on pages."""

from __future__ import annotations

import json
from importlib import import_module

import numpy as np
import pytest
import torch
from matplotlib.text import Text

import resemblance.relevance.lrp as lrp
from models import batch, make
from resemblance.config.errors import UserError
from resemblance.config.relevance import LRP_NOTICE
from resemblance.explain.explain import explain_batch
from resemblance.methods.ensemble.model import make_ensemble
from resemblance.prototypes.maps import upsample
from resemblance.relevance.deletion import check_prototype_maps
from resemblance.relevance.maps import prototype_maps
from resemblance.report.collect import collect
from resemblance.report.page import report_html


def explained(model, **options):
    images, _ = batch(model, 2)
    return explain_batch(model, images, top=2, **options)


@pytest.fixture(scope="module")
def parts():
    return make("protopnet", encoder="small")


@pytest.fixture(scope="module")
def whole():
    model = make("kmex", encoder="small", prototypes_per_class=2)
    torch.nn.init.normal_(model.prototypes.vectors, std=0.1)
    return model


@pytest.mark.parametrize("kind", ["similarity", "gradient", "smoothgrad", "integrated"])
def test_the_maps_are_those_of_the_one_call(parts, kind):
    images, _ = batch(parts, 2)
    for row, explanation in enumerate(explained(parts, maps=kind)):
        assert explanation.maps == kind
        assert json.loads(json.dumps(explanation.to_dict()))["maps"] == kind
        assert explanation.signed == (kind != "similarity")
        for reason in explanation.all_reasons:
            which = torch.tensor([reason.prototype.index])
            expected = prototype_maps(parts, images[row : row + 1], which, kind)[0, 0].numpy()
            np.testing.assert_allclose(reason.heat, expected, rtol=1e-3, atol=1e-5)


def test_the_box_stays_that_of_the_place_that_is_compared(parts):
    for plain, other in zip(explained(parts), explained(parts, maps="gradient"), strict=True):
        assert [reason.box for reason in plain.reasons] == [reason.box for reason in other.reasons]
        assert other.located


def test_the_default_of_parts_costs_nothing_and_is_not_checked(parts):
    explanation = explained(parts)[0]
    assert explanation.maps == "similarity"
    assert all(reason.check is None for reason in explanation.all_reasons)
    assert "map of" not in str(explanation)


def test_checks_are_those_of_the_map(whole):
    images, _ = batch(whole, 2)
    for row, explanation in enumerate(explained(whole, check_maps=True)):
        assert explanation.maps == "smoothgrad"
        for reason in explanation.all_reasons:
            which = torch.tensor([[reason.prototype.index]])
            heat = torch.from_numpy(reason.heat)[None, None]
            [[check]] = check_prototype_maps(whole, images[row : row + 1], which, heat)
            assert reason.check.marked == pytest.approx(check.marked, rel=1e-3, abs=1e-5)
            assert reason.to_dict()["check"]["sentence"] == reason.check.sentence()
            assert reason.check.sentence() in str(explanation)


def test_pages_and_figures_show_the_check(whole):
    explanation = explained(whole, check_maps=True)[0]
    page = report_html([collect(whole, "run", explanations=[explanation])])
    assert page.count('class="curve"') == len(explanation.all_reasons)
    assert "Blue pixels raise the similarity" in page
    assert "<script" not in page
    fragment = explanation._repr_html_()
    assert fragment.count('class="curve"') == len(explanation.all_reasons)
    drawn = " ".join(text.get_text() for text in explanation.plot().findobj(Text))
    assert "that this map marks" in drawn
    assert "Maps: SmoothGrad" in drawn
    without = explained(whole, maps="none")[0]
    page = report_html([collect(whole, "run", explanations=[without])])
    assert 'class="curve"' not in page
    assert "Blue pixels" not in page


def test_maps_are_enlarged_when_they_are_looked_at(parts, monkeypatch):
    """With thousands of reasons, their maps in the image's size would fill the memory."""
    module = import_module("resemblance.explain.reason_map")
    enlarged = []
    monkeypatch.setattr(module, "upsample", lambda maps, size: enlarged.append(1) or upsample(maps, size))
    explanation = explain_batch(parts, batch(parts, 1)[0], top=None)[0]
    assert len(explanation.reasons) > 5
    assert not enlarged
    reason = explanation.reasons[-1]
    assert reason.map.drawn
    assert reason.heat.shape == (28, 28)
    assert len(enlarged) == 1
    x0, y0, x1, y1 = reason.box
    rows, columns = np.nonzero(reason.heat == reason.heat.max())
    assert x0 <= columns[0] < x1
    assert y0 <= rows[0] < y1


def test_an_empty_map_says_so(whole, monkeypatch):
    empty = torch.zeros(2, 3, 28, 28)
    module = import_module("resemblance.explain.reason_maps")
    monkeypatch.setattr(module, "prototype_maps", lambda *_: empty)
    for check in (False, True):
        explanation = explained(whole, check_maps=check)[0]
        assert "This map is empty" in str(explanation)
        assert "This map is empty" in explanation._repr_html_()


def test_the_notice_stands_wherever_a_prp_map_is_shown(parts, monkeypatch):
    monkeypatch.setattr(
        lrp, "prp_maps", lambda model, images, which, definition: torch.rand(*which.shape, 28, 28)
    )
    explanation = explained(parts, maps="prp")[0]
    assert LRP_NOTICE in str(explanation)
    quoted = "LRP is a patented technology that can only be used free of charge for personal and scientific purposes"
    assert quoted in explanation._repr_html_()
    assert quoted in report_html([collect(parts, "run", explanations=[explanation])])
    drawn = " ".join(text.get_text() for text in explanation.plot().findobj(Text))
    assert "patented" in drawn
    assert "patented" not in report_html([collect(parts, "run", explanations=explained(parts))])


def test_a_tree_checks_the_parts_that_the_image_has():
    model = make("prototree", encoder="small", depth=3, prototype_depth=8)
    explanation = explained(model, check_maps=True)[0]
    steps = [step for reason in explanation.all_reasons for step in reason.steps]
    assert any(step.present for step in steps)
    assert all(step.check is not None for step in steps if step.present)
    assert all(step.heat is not None for step in steps)
    assert 'class="curve"' in explanation._repr_html_()
    drawn = " ".join(text.get_text() for text in explanation.plot().findobj(Text)).split()
    for step in steps:
        if step.check is not None:
            words = f"part {step.prototype.index}: {step.check.sentence()}".split()
            assert any(drawn[place : place + len(words)] == words for place in range(len(drawn)))


def test_an_ensemble_shows_maps_where_its_members_have_them():
    both = make_ensemble([make("protopnet", encoder="small"), make("protopnet", encoder="small", pool="avg")])
    explanation = both.explain(torch.rand(1, 28, 28), prototypes=[0, 30])
    assert [reason.heat is None for reason in explanation.reasons] == [False, True]
    with pytest.raises(UserError, match="prototype 30 has no similarity map"):
        both.explain(torch.rand(1, 28, 28), prototypes=[0, 30], maps="similarity")


def test_many_reasons_of_whole_images_have_maps_on_request_only():
    model = make("kmex", encoder="small", prototypes_per_class=5)
    torch.nn.init.normal_(model.prototypes.vectors)
    image = torch.rand(1, 28, 28)
    chosen = list(range(12))
    heats = [reason.heat for reason in model.explain(image, prototypes=chosen).reasons]
    assert [heat is None for heat in heats] == [False] * 10 + [True] * 2
    asked = model.explain(image, prototypes=chosen, maps="gradient").reasons
    assert all(reason.heat is not None for reason in asked)


@pytest.mark.parametrize(
    ("maps", "message"), [("gradcam", "no map 'gradcam'"), ("similarity", "compares whole images")]
)
def test_bad_kinds_get_one_line(whole, maps, message):
    with pytest.raises(UserError, match=message):
        explained(whole, maps=maps)
