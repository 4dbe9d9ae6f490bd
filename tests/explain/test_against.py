"""Test contributions that add up to the difference of two scores."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest
import torch

from cases import VARIANTS
from resemblance.config.errors import UserError
from resemblance.config.image import ImageSpec
from resemblance.config.model import ModelSpec
from resemblance.core.prototype_model import PrototypeModel
from resemblance.explain.against.difference import Comparison
from resemblance.explain.explain import explain, explain_batch
from resemblance.methods.ensemble.model import make_ensemble
from resemblance.methods.registry import build
from toy_model import Ballot, Nearest, Toy

CLASSES = tuple("abcde")
CHOICES = ("auto", "mean", "runner-up", "none", 3)


@pytest.fixture
def images():
    return torch.rand(5, 3, 16, 16, generator=torch.Generator().manual_seed(1))


def make(variant):
    """A model with random weights, so that contributions to different classes differ."""
    method, config = VARIANTS[variant]
    torch.manual_seed(0)
    model = build(method, config, ModelSpec(CLASSES, ImageSpec(28, 28, 1, (0.5,), (0.25,)))).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return model


def slow_reference(model, output, row, explained, against):
    """The score and the contributions that are subtracted, class by class."""
    scores = output.scores[row].double().tolist()
    others = [index for index in range(len(scores)) if index != explained]
    if against == "mean":
        chosen = range(len(scores))
    elif against == "runner-up" or against == explained:
        chosen = [max(others, key=lambda index: scores[index])]
    else:
        chosen = [against]
    parts = [
        model.evidence(output, torch.full((len(output.scores),), index)).contributions[row].double()
        for index in chosen
    ]
    return sum(scores[index] for index in chosen) / len(parts), sum(parts) / len(parts)


@pytest.mark.parametrize("variant", VARIANTS)
def test_contributions_add_up_to_the_difference_for_every_method_and_choice(variant):
    model = make(variant)
    if not isinstance(model, PrototypeModel):
        return
    images = torch.rand(3, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        output = model(images)
    for against in CHOICES:
        explanations = explain_batch(
            model, images, against=against, classes=["d", "b"], top=None, maps="none"
        )
        for row, explanation in enumerate(explanations):
            for breakdown in explanation.breakdowns:
                assert breakdown.adds_up, (against, breakdown)
                expected = output.scores[row, breakdown.class_index].item()
                if breakdown.reference is not None:
                    chosen = "mean" if against == "auto" else against
                    score, _ = slow_reference(model, output, row, breakdown.class_index, chosen)
                    assert breakdown.reference.score == pytest.approx(score, abs=1e-5, rel=1e-4)
                    expected -= score
                else:
                    assert against in ("auto", "none")
                size = breakdown.absolute + abs(breakdown.bias) + abs(expected)
                if breakdown.reference is not None:
                    size += breakdown.reference.size
                assert breakdown.total == pytest.approx(expected, abs=2e-5 * size)


@pytest.mark.parametrize("variant", VARIANTS)
def test_each_contribution_is_the_difference_of_those_to_two_scores(variant):
    model = make(variant)
    if not isinstance(model, PrototypeModel):
        return
    with torch.no_grad():
        output = model(torch.rand(3, 1, 28, 28, generator=torch.Generator().manual_seed(0)))
        classes = torch.tensor([3, 0, 1])
        plain = model.evidence(output, classes)
        for against in ("mean", "runner-up", 3):
            evidence, references = Comparison(model, output, against).apply(plain, classes)
            assert len(references) == 3
            for row, explained in enumerate(classes.tolist()):
                _, subtracted = slow_reference(model, output, row, explained, against)
                expected = plain.contributions[row].double() - subtracted
                assert torch.allclose(evidence.contributions[row], expected, rtol=1e-9, atol=1e-9)


def test_the_contributions_of_an_ensemble_add_up_to_the_difference():
    model = make_ensemble([make("protopnet"), make("prototypedl")])
    for against in CHOICES:
        explanation = model.explain(torch.rand(1, 28, 28), against=against, maps="none")
        assert explanation.breakdown.adds_up


class Wrong(Toy):
    """A model whose evidence for one class is not what it computed."""

    def evidence(self, output, classes):
        evidence = super().evidence(output, classes)
        return replace(evidence, bias=evidence.bias + 0.01 * (classes == 1))


def test_a_reference_that_does_not_add_up_is_noticed(images):
    for against in ("mean", 1):
        explanation = explain(Wrong(), images[0], classes=[0], against=against)
        assert not explanation.breakdown.adds_up
        assert any("add up to" in text for text in explanation.warnings)
        assert explain(Toy(), images[0], classes=[0], against=against).breakdown.adds_up


def test_logits_are_compared_with_the_mean_and_other_scores_with_nothing(images):
    assert explain(Toy(), images[0]).breakdown.reference.kind == "mean"
    assert explain(Nearest(), images[0]).breakdown.reference is None  # a similarity without weights
    assert explain(Ballot(), images[0]).breakdown.reference is None
    assert explain(Toy(), images[0], against="none").breakdown.reference is None


class Weighted(Toy):
    """A model with one weight for the prototypes of other classes."""

    def __init__(self, other, classes=("cat", "dog", "eel")):
        super().__init__(classes=classes)
        with torch.no_grad():
            self.last.weight.copy_(torch.where(self.prototypes.owners.T, 1.0, other))


def test_logits_without_negative_weights_are_explained_as_they_are(images):
    assert explain(Weighted(-0.5), images[0]).breakdown.reference.kind == "mean"
    assert explain(Weighted(0.0), images[0]).breakdown.reference is None
    assert explain(Weighted(-0.1), images[0]).breakdown.reference is None  # 0.4 of 2.4
    assert explain(Weighted(0.0), images[0], against="mean").breakdown.adds_up
    many = tuple(f"class {index}" for index in range(50))
    assert explain(Weighted(-0.5, many), images[0]).breakdown.reference.kind == "mean"
    assert explain(Weighted(0.0, many), images[0]).breakdown.reference is None
    assert explain(make("pipnet"), torch.rand(1, 28, 28), maps="none").breakdown.reference is None


def test_a_class_is_compared_with_the_strongest_other_one_instead_of_itself(images):
    model = Toy()
    for explanation in explain_batch(model, images, against=1, classes=[0, 1]):
        named, own = explanation.breakdowns
        assert (named.reference.kind, named.reference.class_index) == ("class", 1)
        assert own.reference.kind == "runner-up"
        assert own.reference.class_index != 1
        assert own.reference.score == max(explanation.scores[0], explanation.scores[2])


def test_words_come_before_classes_of_the_same_name(images):
    model = Toy(classes=("mean", "dog", "none"))
    assert explain(model, images[0], against="mean").breakdown.reference.kind == "mean"
    assert explain(model, images[0], against="none").breakdown.reference is None
    assert explain(model, images[0], against=0, classes=["dog"]).breakdown.reference.class_name == "mean"
    assert explain(model, images[0], against="2", classes=["dog"]).breakdown.reference.class_name == "none"


@pytest.mark.parametrize(
    ("against", "words"),
    [
        ("meen", "did you mean 'mean'"),
        ("dgo", "did you mean 'dog'"),
        ("x", "mean, runner-up"),
        (3, "no class 3"),
    ],
)
def test_a_reference_that_does_not_exist(images, against, words):
    with pytest.raises(UserError, match=words) as caught:
        explain(Toy(), images[0], against=against)
    assert "\n" not in str(caught.value)


class Changing(Toy):
    """A model whose reasons are others for each class."""

    def evidence(self, output, classes):
        evidence = super().evidence(output, classes)
        return replace(evidence, prototypes=evidence.prototypes.roll(int(classes[0])))


def test_reasons_that_differ_between_classes_cannot_be_subtracted(images):
    with pytest.raises(UserError, match="not the same for all classes"):
        explain(Changing(), images[0], against="mean")
    assert explain(Changing(), images[0], against="none").breakdown.adds_up


def texts_of(explanation):
    """Return the explanation as text, as a figure's text and as the text of a page."""
    figure = explanation.plot()
    drawn = " ".join(text.get_text() for part in (figure, *figure.axes) for text in part.texts)
    page = " ".join(re.sub("<[^>]+>", " ", explanation._repr_html_()).split())
    return str(explanation), drawn, page


def test_every_form_says_against_what_and_which_reasons_speak_against(images):
    explanation = explain(Toy(), images[0], top=5, against="mean")
    name = explanation.predicted
    assert any(reason.speaks_against for reason in explanation.reasons)
    for text in texts_of(explanation):
        assert f"score of {name} minus the mean of the classes" in text
        assert text.count("(against)") >= 1
    for text in texts_of(explain(Toy(), images[0], top=5, against="runner-up")):
        assert re.search(rf"score of {name} minus that of \w+", text)
        assert "the strongest other class" in text
    for text in texts_of(explain(Toy(), images[0], top=2, against="none")):
        assert "minus" not in text
    for text in texts_of(explain(Ballot(), images[0], against="mean")):
        assert f"votes of {name} minus the mean of the classes" in text
    record = json.loads(json.dumps(explanation.to_dict(), allow_nan=False))["breakdowns"][0]
    assert record["against"]["kind"] == "mean"
    assert record["difference"] == pytest.approx(record["score"] - record["against"]["score"])
    assert [r["speaks_against"] for r in record["reasons"]] == [
        r["contribution"] < 0 for r in record["reasons"]
    ]
    plain = explain(Toy(), images[0], against="none").to_dict()["breakdowns"][0]
    assert plain["against"] is None
    assert plain["difference"] == plain["score"]


def test_the_printed_lines_add_up_to_the_difference(images):
    for against in CHOICES[:4]:
        for explanation in explain_batch(Toy(), images, top=3, against=against):
            values = [float(line.value.replace("−", "-")) for line in explanation.breakdown.lines()]
            assert sum(values[:-1]) == pytest.approx(values[-1], abs=1e-9)
            assert values[-1] == pytest.approx(explanation.breakdown.difference, abs=1e-3)


def test_weights_are_differences_too(images):
    explanation = explain(Toy(), images[0], top=None, against="runner-up")
    for reason in explanation.reasons:
        assert reason.contribution == pytest.approx(reason.weight * reason.similarity, rel=1e-6)
    assert "weight difference" in str(explanation)


def test_paths_of_a_tree_are_compared_leaf_by_leaf():
    model = make("prototree")
    explanation = model.explain(torch.rand(1, 28, 28), against="mean", top=3, maps="none")
    assert explanation.breakdown.adds_up
    assert explanation.breakdown.reference.kind == "mean"
    for text in texts_of(explanation):
        assert f"probability of {explanation.predicted} minus the mean of the classes" in text
