"""Test that attributes and concepts are not called prototypes in text, figures, pages and commands."""

from __future__ import annotations

import html
import json
import re
from dataclasses import replace

import pytest
import torch
from PIL import Image

from resemblance.cli.main import main
from resemblance.config.image import ImageSpec
from resemblance.config.model import ModelSpec
from resemblance.explain.explain import explain_batch
from resemblance.explain.prototype_view import PrototypeView, prototype_views
from resemblance.explain.rounding import NO_BREAK
from resemblance.methods.flint.config import FLINTConfig
from resemblance.methods.pipnet.config import PIPNetConfig
from resemblance.methods.registry import build, method_configs
from resemblance.methods.senn.config import SENNConfig
from resemblance.prototypes.gallery import Gallery, GalleryItem
from resemblance.report.collect import collect
from resemblance.report.gallery_figure import by_class, gallery_figure
from resemblance.report.page import report_html
from toy_model import Toy

WORDS_OF_PROTOTYPES = re.compile(r"prototype|simila|resembles|unused|patch", re.IGNORECASE)


class Attributes(Toy):
    """Like FLINT: numbers of the whole image; some belong to no class."""

    name = "attributes"
    traits = replace(Toy.traits, maps=False)

    def __init__(self):
        super().__init__()
        self.traits = replace(self.traits, words=FLINTConfig.words)
        self.prototypes.owners[4] = False
        self.prototypes.activations.copy_(torch.tensor([5, 0, 3, 2, 9, 1]))
        self.gallery = Gallery(GalleryItem("training image", f"train/{i}.png") for i in range(6))


class Concepts(Attributes):
    """Like SENN: no concept has a class."""

    name = "concepts"

    def __init__(self):
        super().__init__()
        self.traits = replace(self.traits, words=SENNConfig.words)
        self.prototypes.owners[:] = False


class Patches(Toy):
    """Like PIP-Net: the boxes are patches."""

    name = "patches"

    def __init__(self):
        super().__init__()
        self.traits = replace(self.traits, words=PIPNetConfig.words)


def explained(model):
    images = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    return explain_batch(model, images, top=6, labels=[0, 1])


def read(page):
    """Return the text of a page, and the texts of its pictures."""
    page = re.sub(r"<style>.*?</style>|<head>.*?</head>", " ", page, flags=re.DOTALL)
    labels = " ".join(re.findall(r'(?:aria-label|alt)="([^"]*)"', page))
    return " ".join(html.unescape(f"{re.sub('<[^>]+>', ' ', page)} {labels}").split())


def words_of(figure):
    return " | ".join(text.get_text() for part in (figure, *figure.axes) for text in part.texts)


CASES = pytest.mark.parametrize(
    ("kind", "one", "number", "weight", "source"),
    [
        (Attributes, "attribute", "activation", "weight", "strongest in"),
        (Concepts, "concept", "value", "relevance", "largest in"),
    ],
)


@CASES
def test_text(kind, one, number, weight, source):
    for explanation in explained(kind()):
        text = str(explanation)
        assert not WORDS_OF_PROTOTYPES.search(text)
        head = text.splitlines()[1]
        assert [word for word in (one, number, weight, "contribution", source) if word not in head] == []
        assert f": {one} " in text  # the reason for the runner-up
        assert ("class" in head) == (kind is Attributes)
        assert ("no class" in text) == (kind is Attributes)


@CASES
def test_figures(kind, one, number, weight, source):
    model = kind()
    for explanation in explained(model):
        text = words_of(explanation.plot())
        assert not WORDS_OF_PROTOTYPES.search(text)
        assert f"{source} this" in text
        assert f"{source} train/" in text
        assert re.search(rf"{one} \d", text)
        assert re.search(rf"{number} \S+,  {weight} ", text)
    text = words_of(gallery_figure(prototype_views(model), model.spec.classes))
    assert not WORDS_OF_PROTOTYPES.search(text)
    assert f"{'an' if one[0] == 'a' else 'a'} {one}'s {number} is the largest of all" in text
    assert ("all classes" in text) == (kind is Concepts)
    assert ("cat" in text) == (kind is Attributes)


@CASES
def test_pages(kind, one, number, weight, source):
    model = kind()
    shown = read(report_html([collect(model, "run", explanations=explained(model))]))
    assert not WORDS_OF_PROTOTYPES.search(shown.replace("Made with resemblance", ""))
    for word in (f"{one.capitalize()}s", number.capitalize(), weight, f"{source} train/"):
        assert word in shown
    assert "glow" not in shown
    assert ("all classes" in shown) == (kind is Concepts)
    assert not WORDS_OF_PROTOTYPES.search(read(explained(model)[0]._repr_html_()))


def test_a_page_of_several_methods_explains_each_in_its_terms():
    runs = [
        collect(kind(), kind.name, explanations=explained(kind())) for kind in (Toy, Attributes, Concepts)
    ]
    text = read(report_html(runs))
    for words in (
        "Prototypes are",
        "Attributes are",
        "Concepts are",
        "6 attributes",
        "6 concepts",
        "glow",
        "is unused",
    ):
        assert words in text
    assert text.count("are numbers") == 2


def test_a_page_says_what_its_boxes_are():
    def page(*kinds):
        return read(
            report_html([collect(kind(), kind.name, explanations=explained(kind())) for kind in kinds])
        )

    one, other = "yellow box surrounds the brightest place", "yellow box is the patch"
    assert one in page(Toy)
    assert "the patch at" not in page(Toy)
    assert other in page(Patches)
    assert "twentieth" not in page(Patches)
    assert one in page(Toy, Patches)
    assert "; in other runs here it is the patch" in page(Toy, Patches)


def test_an_abstention_is_not_called_a_weak_prediction():
    predicting, abstaining = explained(Patches())
    breakdowns = tuple(
        replace(b, reasons=(), score=0.0, others=6, others_for=0.0, others_against=0.0)
        for b in abstaining.breakdowns
    )
    abstaining = replace(abstaining, abstained=True, breakdowns=breakdowns)
    warnings = collect(Patches(), "run", explanations=[abstaining]).warnings
    assert "The model makes no prediction for 1 of the 1 images below." in warnings
    assert not any("less than half" in text for text in warnings)
    text = str(abstaining)
    assert "all 6" in text.replace(NO_BREAK, " ")
    assert "the other" not in text
    assert not any(
        "no prediction" in text for text in collect(Patches(), "run", explanations=[predicting]).warnings
    )


def test_a_prototype_of_many_classes_is_listed_once():
    names = [f"class {i}" for i in range(200)]
    views = [
        PrototypeView(0, tuple(names)),
        PrototypeView(1, tuple(names[:5])),
        PrototypeView(2, (names[9],)),
    ]
    groups = by_class(views, names)
    assert [view.index for view in groups["more than 5 classes"]] == [0]
    assert [view.index for view in groups["class 0"]] == [1]
    assert len(groups) == 7  # no class is said to have none
    assert views[0].owner == "class 0 / class 1 / class 2 / class 3 / class 4 and 195 more"


def test_concepts_without_classes_leave_no_class_without_prototypes():
    views = prototype_views(Concepts())
    assert not any(view.unused for view in views)
    assert views[0].heading == "concept 0"
    assert collect(Concepts(), "run").warnings == []


def test_keys_of_the_data_stay_the_same_for_every_method():
    model = Concepts()
    (view,) = prototype_views(model, [1])
    record = view.to_dict()
    assert (record["prototype"], record["classes"], record["unused"], record["activations"]) == (
        1,
        [],
        True,
        0,
    )
    reason = explained(model)[0].to_dict()["breakdowns"][0]["reasons"][0]
    assert {"prototype", "similarity", "weight", "contribution"} <= set(reason)


@pytest.mark.parametrize("name", ["flint", "senn"])
def test_commands(name, tmp_path, capsys):
    spec = ModelSpec(tuple("0123456789"), ImageSpec(28, 28, 1, (0.0,), (1.0,)))
    model = build(name, {}, spec)
    model.prototypes.activations.zero_()
    many = model.config.words.many
    model.save(tmp_path / "model")
    Image.new("L", (28, 28), 90).save(tmp_path / "a.png")
    for words in (
        ["explain", tmp_path / "model", tmp_path / "a.png", "--output", tmp_path / "a.html"],
        ["prototypes", tmp_path / "model", "--output", tmp_path / "all.png"],
        ["evaluate", tmp_path / "model", "--data", "digits"],
    ):
        assert main([str(word) for word in words]) == 0
        printed = capsys.readouterr().out.replace(str(tmp_path), "")
        assert not WORDS_OF_PROTOTYPES.search(printed), printed
        assert many[:-1] in printed
    output = ["--output", str(tmp_path / "all.png")]
    assert main(["prototypes", str(tmp_path / "model"), "--json", *output]) == 0
    listed = json.loads(capsys.readouterr().out)["prototypes"]
    assert listed[0]["prototype"] == 0
    assert listed[0]["unused"] is True


def test_concepts_cannot_be_chosen_by_class(tmp_path, capsys):
    spec = ModelSpec(("a", "b"), ImageSpec(28, 28, 1, (0.0,), (1.0,)))
    build("senn", {}, spec).save(tmp_path / "model")
    assert main(["prototypes", str(tmp_path / "model"), "--classes", "a"]) == 2
    assert "the concepts of senn belong to no class; leave out --classes" in capsys.readouterr().err


def test_the_words_of_every_method_fit_into_sentences():
    for config in method_configs().values():
        words = config.words
        assert words.about.startswith("are ")
        assert words.about.endswith(".")
        assert not words.similarity_says.endswith(".")
