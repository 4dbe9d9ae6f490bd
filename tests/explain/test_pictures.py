"""Pictures that can be read: parts in their surroundings, in the original's resolution, and warnings about others."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
import torch
from matplotlib.text import Text
from PIL import Image

from models import batch, make
from resemblance.config.image import ImageSpec
from resemblance.config.model import ModelSpec
from resemblance.explain.pictures.picture_warnings import alike, blank, picture_warnings
from resemblance.explain.pictures.place_pictures import part_picture, prototype_picture, shared_side
from resemblance.explain.pictures.reason_pictures import ReasonPictures
from resemblance.explain.prototype_view import PrototypeView
from resemblance.methods.registry import build
from resemblance.prototypes.gallery import Gallery, GalleryItem, Picture
from resemblance.prototypes.maps import peak_boxes, percentile_boxes
from resemblance.report.content import RunReport
from resemblance.report.page import report_html


def view(index, pixels, box=None, region=None, classes=("a",), kind="training image"):
    source = Picture.from_pixels(np.asarray(pixels, np.uint8))
    decoding = source if kind == "decoded" else None
    return PrototypeView(index, classes, GalleryItem(kind, f"{index}.png", box, source, decoding, region))


def noise(seed, size=(32, 32)):
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)


def flat(level):
    return np.full((32, 32, 3), level, np.uint8)


@pytest.fixture(scope="module")
def model():
    model = make("protopnet", encoder="small", size=32)
    items = [
        GalleryItem(
            "training image", f"{i}.png", (0, 0, 30, 30), Picture.from_pixels(noise(i)), None, (4, 4, 12, 12)
        )
        for i in range(len(model.prototypes))
    ]
    model.gallery = Gallery(items)
    return model


def test_the_box_surrounds_the_maximum_and_the_papers_box_stays(model):
    images, _ = batch(model, 1)
    for reason in model.explain(images[0], top=5).reasons:
        heat = torch.from_numpy(reason.heat)[None]
        assert list(reason.box) == peak_boxes(heat)[0].tolist()
        assert list(reason.percentile_box) == percentile_boxes(heat)[0].tolist()
        record = json.loads(json.dumps(reason.to_dict()))
        assert record["percentile_box"] == list(reason.percentile_box)


def test_part_and_prototype_have_frames_of_one_scale(model):
    images, _ = batch(model, 1)
    explanation = model.explain(images[0], top=3)
    pictures = ReasonPictures.of(explanation)
    assert pictures.columns == ("image", "part", "prototype", "source")
    for reason in explanation.reasons:
        shown, part = part_picture(pictures.image, reason, reason.box)
        picture, marked = prototype_picture(reason.prototype, reason.box)
        side = shared_side(reason.prototype, reason.box, (32, 32))
        assert shown.shape[:2] == picture.shape[:2] == (side, side)
        x0, y0, x1, y1 = part
        np.testing.assert_array_equal(
            shown[y0:y1, x0:x1],
            explanation.image[reason.box[1] : reason.box[3], reason.box[0] : reason.box[2]],
        )
        assert (marked[2] - marked[0], marked[3] - marked[1]) == (8, 8)


def test_pictures_for_papers_have_the_papers_boxes(model):
    images, _ = batch(model, 1)
    explanation = model.explain(images[0], top=1)
    reason = explanation.reasons[0]
    assert ReasonPictures.of(explanation, paper=True)._box(reason) == reason.percentile_box
    assert ReasonPictures.of(explanation)._box(reason) == reason.box
    picture, marked = prototype_picture(reason.prototype, paper=True)
    assert marked == (0, 0, 30, 30)
    assert picture.shape == (32, 32, 3)


@pytest.mark.parametrize("resize", ["squash", "crop", "pad"])
def test_a_photograph_is_explained_on_itself(tmp_path, resize):
    spec = ModelSpec(("a", "b"), ImageSpec(32, 32, 3, (0.5,) * 3, (0.25,) * 3, resize))
    torch.manual_seed(0)
    model = build("protopnet", {"encoder": "small"}, spec)
    Image.fromarray(noise(0, (1000, 3000))).save(tmp_path / "wide.png")
    explanation = model.explain(tmp_path / "wide.png", top=2)
    assert explanation.image.shape == (32, 32, 3)
    assert explanation.original.decode().shape == (400, 1200, 3)
    assert explanation.preparation.original == (1000, 3000)
    pictures = ReasonPictures.of(explanation)
    assert pictures.image.pixels.shape == (400, 1200, 3)
    shown, _ = part_picture(pictures.image, explanation.reasons[0], explanation.reasons[0].box)
    assert shown.shape[0] > 100
    drawn = [text.get_text() for text in explanation.plot().findobj(Text)]
    assert any("Dimmed" in text for text in drawn) == (resize == "crop")
    fragment = explanation._repr_html_()
    assert 'width="1200" height="400"' in fragment
    assert ("Dimmed" in fragment) == (resize == "crop")
    [reason, *_] = explanation.reasons
    x0, y0, x1, y1 = explanation.preparation.to_original(reason.box) * 0.4
    boxes = re.findall(r'<rect class="box" x="(\d+)" y="(\d+)" width="(\d+)" height="(\d+)"', fragment)
    corners = [(int(x), int(y)) for x, y, _, _ in boxes]
    assert any(abs(x - max(x0, 0)) <= 1 and abs(y - max(y0, 0)) <= 1 for x, y in corners)
    assert x1 > x0
    assert y1 > y0


def test_tensors_and_pictures_of_the_models_size_are_shown_as_they_are(model):
    images, _ = batch(model, 1)
    assert model.explain(images[0]).original is None
    assert model.explain(noise(0)[..., 0]).original is None
    assert model.explain(noise(0, (20, 40))).original.decode().shape == (20, 40, 3)


def test_cells_that_voted_are_counted():
    model = make("kmex", encoder="small", size=32, patches=True, prototypes_per_class=2)
    torch.nn.init.normal_(model.eval().prototypes.vectors, std=0.3)
    images, _ = batch(model, 1)
    with torch.no_grad():
        output = model(images)
        distances = model.prototypes.geometry.distances(output.latents, model.prototypes.vectors).flatten(2)
    voted = distances.argmin(dim=1)[0].bincount(minlength=len(model.prototypes)).tolist()
    cells = sum(voted)
    assert cells == output.latents.shape[2] * output.latents.shape[3]
    explanation = model.explain(images[0])
    words = str(explanation)
    fragment = explanation._repr_html_()
    drawn = " ".join(text.get_text() for text in explanation.plot().findobj(Text))
    for reason in explanation.reasons:
        sentence = f"{voted[reason.prototype.index]} of {cells} cells voted for it"
        assert f"prototype {reason.prototype.index}: {sentence}" in words
        assert sentence in fragment
        assert sentence in drawn
    whole = make("kmex", encoder="small", size=32, prototypes_per_class=2)
    assert "voted" not in str(whole.explain(images[0]))


def test_blank_is_almost_without_contrast():
    assert blank(flat(0))
    assert blank(flat(100) + np.random.default_rng(0).integers(0, 8, (32, 32, 3), dtype=np.uint8))
    assert not blank(noise(0))
    edge = flat(20)
    edge[:, 28:] = 90
    assert not blank(edge)
    assert not blank(None)


def test_alike_are_pictures_that_differ_by_a_few_levels():
    picture = noise(1, (8, 8)).repeat(4, axis=0).repeat(4, axis=1)
    near = np.clip(picture.astype(int) + 3, 0, 255).astype(np.uint8)
    other = noise(2, (8, 8)).repeat(4, axis=0).repeat(4, axis=1)
    assert alike([picture, near, other]).tolist() == [[False, True, False], [True, False, False], [False] * 3]


def test_warnings_name_blank_and_nearly_equal_pictures():
    some = noise(3)
    views = [view(0, flat(9)), view(1, some), view(2, some + (some < 250), classes=("b",)), view(3, noise(4))]
    first, second = picture_warnings(views)
    assert first.startswith("The picture of prototype 0 is almost blank")
    assert second.startswith("The pictures of prototypes 1 and 2 are nearly equal, also of different classes")
    assert picture_warnings([views[1], views[3]]) == []
    assert picture_warnings([PrototypeView(5), PrototypeView(6)]) == []
    many = picture_warnings([view(i, flat(i)) for i in range(8)])
    assert many == [
        "The pictures of prototypes 0, 1, 2, 3, 4 and 3 more are almost blank: "
        "they do not show what the model compares."
    ]
    [decoded] = picture_warnings([view(0, flat(9), kind="decoded")])
    assert "almost blank" in decoded


def test_only_the_part_counts_not_the_rest_of_its_source():
    pixels = noise(5)
    pixels[:8, :8] = 40
    assert picture_warnings([view(0, pixels, (0, 0, 8, 8))])
    assert not picture_warnings([view(0, pixels, (0, 0, 8, 8), (8, 8, 16, 16))])


def test_explanations_and_reports_warn():
    model = make("kmex", encoder="small", size=32, prototypes_per_class=1)
    items = [GalleryItem("training image", f"{i}.png", None, Picture.from_pixels(flat(7))) for i in range(3)]
    model.gallery = Gallery(items)
    images, _ = batch(model, 1)
    explanation = model.explain(images[0], maps="none")
    assert any("almost blank" in text for text in explanation.warnings)
    views = [view(i, flat(7)) for i in range(3)]
    report = RunReport("run", "kmex", ("a",), prototypes=views, explanations=[explanation])
    assert any("prototypes 0, 1 and 2 are almost blank" in text for text in report.warnings)
    assert "prototypes 0, 1 and 2 are almost blank" in report_html([report])


def test_pictures_of_a_page_can_be_enlarged_without_a_script(model):
    images, _ = batch(model, 1)
    explanation = model.explain(images[0], top=2)
    fragment = explanation._repr_html_()
    pictures = 4 * len(explanation.all_reasons)
    assert fragment.count('<details class="zoom">') == pictures
    assert fragment.count('class="scale"') == len(explanation.all_reasons)
    assert "<script" not in fragment
