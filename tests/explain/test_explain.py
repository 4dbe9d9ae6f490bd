from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from resemblance.config.errors import UserError
from resemblance.config.image import ImageSpec
from resemblance.config.model import ModelSpec
from resemblance.explain.against.compared_with import Reference
from resemblance.explain.explain import explain, explain_batch
from resemblance.explain.prototype_view import PrototypeView
from resemblance.explain.reason import Reason
from resemblance.explain.rounding import add_up, decimals_for
from resemblance.explain.score_breakdown import ScoreBreakdown
from resemblance.explain.selection import counter_classes
from resemblance.explain.text import share_text
from resemblance.methods.registry import build
from toy_model import Ballot, Distances, Nearest, Toy

MODELS = [Toy, Nearest, Distances, Ballot]


@pytest.fixture
def images():
    return torch.rand(5, 3, 16, 16, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("kind", MODELS)
def test_reasons_others_and_bias_are_the_score(kind, images):
    model = kind()
    scores = model(images).scores
    for top in (1, 2, None):
        for row, explanation in enumerate(explain_batch(model, images, top=top)):
            breakdown = explanation.breakdown
            assert breakdown.adds_up
            assert breakdown.total == pytest.approx(scores[row].max().item(), abs=1e-5)
            assert breakdown.score == scores[row].max().item()
            assert len(breakdown.reasons) + breakdown.others == len(model.prototypes)


def test_reasons_come_in_order_of_contribution(images):
    explanation = explain(Toy(), images[0], top=None)
    contributions = [reason.contribution for reason in explanation.reasons]
    assert contributions == sorted(contributions, reverse=True)
    assert explanation.share == 1.0
    for reason in explanation.reasons:
        assert reason.contribution == pytest.approx(reason.weight * reason.similarity, rel=1e-6)


def test_distances_put_the_nearest_prototype_first(images):
    explanation = explain(Distances(), images[0], top=None)
    similarities = [reason.similarity for reason in explanation.reasons]
    assert similarities == sorted(similarities, reverse=True)
    assert "distance²" in str(explanation)


def test_share_counts_what_is_not_shown(images):
    model = Toy()
    contributions = model.evidence(output := model(images[:1]), output.scores.argmax(1)).contributions[0]
    explanation = explain(model, images[0], top=1)
    expected = contributions.max() / contributions.abs().sum()
    assert explanation.share == pytest.approx(expected.item(), rel=1e-6)
    breakdown = explanation.breakdown
    assert breakdown.others_for >= 0 >= breakdown.others_against


def test_a_share_below_half_is_reported_where_it_says_something(images):
    shown = (Reason(PrototypeView(0, ("a",)), 1.0, 1.0),)
    outweighed = ScoreBreakdown(0, "a", 3.0, shown, 9, 4.0, -2.0, reference=Reference("mean", 0.0))
    assert outweighed.share == pytest.approx(1 / 7)
    cancelled = replace(outweighed, others_for=3.0, others_against=-3.0)
    assert cancelled.share == pytest.approx(1 / 7)
    plain = replace(outweighed, reference=None)

    def warned(model, breakdown):
        explanation = replace(explain(model, images[0], maps="none"), breakdowns=(breakdown,))
        said = "less than half" in share_text(explanation, breakdown)
        assert said == any("only 14" in text for text in explanation.warnings)
        return said

    assert warned(Toy(), outweighed)
    assert not warned(Toy(), cancelled)  # the others change nothing
    lowered = replace(outweighed, score=-1.0, others_for=2.0, others_against=-4.0)
    assert warned(Toy(), lowered)
    assert not warned(Toy(), replace(lowered, reference=None))  # always so for the plain score of such logits
    assert warned(Toy(), plain)
    assert warned(Ballot(), plain)
    assert not warned(Distances(), outweighed)  # the nearest are shown, not the strongest


def test_reasons_shown_have_heat_and_box(images):
    model = Toy()
    explanation = explain(model, images[0], top=2)
    for reason in explanation.reasons:
        assert reason.heat.shape == (16, 16)
        x0, y0, x1, y1 = reason.box
        assert 0 <= x0 < x1 <= 16
        assert 0 <= y0 < y1 <= 16
        inside = reason.heat >= np.percentile(reason.heat, 95)
        rows, columns = np.where(inside)
        assert reason.percentile_box == (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
        row, column = np.unravel_index(reason.heat.argmax(), reason.heat.shape)
        assert x0 <= column < x1
        assert y0 <= row < y1


def test_whole_images_have_no_place_but_a_map_of_another_kind(images):
    explanation = explain(Nearest(), images[0])
    assert explanation.maps == "smoothgrad"
    assert explanation.reasons[0].heat.shape == (16, 16)
    assert explanation.reasons[0].box is None
    assert not explanation.located
    without = explain(Nearest(), images[0], maps="none")
    assert without.maps is None
    assert without.reasons[0].heat is None
    assert without.to_dict()["maps"] is None


def test_batches_and_single_images_agree(images):
    model = Toy()
    batched = explain_batch(model, images, batch_size=2)
    for image, explanation in zip(images, batched, strict=True):
        single = explain(model, image)
        assert [r.prototype.index for r in single.reasons] == [r.prototype.index for r in explanation.reasons]
        assert single.breakdown.score == pytest.approx(explanation.breakdown.score, rel=1e-5)


def test_each_batch_has_one_forward_pass(images):
    model, calls = Toy(), []
    model.register_forward_hook(lambda *_: calls.append(1))
    explain_batch(model, images, batch_size=5, classes=["cat", "dog", "eel"])
    assert len(calls) == 1


def test_chosen_prototypes_of_other_classes(images):
    explanation = explain(Toy(), images[0], prototypes=[5, 0, 5])
    assert [reason.prototype.index for reason in explanation.reasons] == [5, 0]
    assert explanation.breakdown.others == 4
    assert explanation.breakdown.adds_up


def test_other_classes_can_be_explained(images):
    model = Toy()
    scores = model(images[:1]).scores[0]
    explanation = explain(model, images[0], classes=["eel", 0])
    assert [breakdown.class_name for breakdown in explanation.breakdowns] == ["eel", "cat"]
    for breakdown in explanation.breakdowns:
        assert breakdown.score == scores[breakdown.class_index].item()
        assert breakdown.adds_up


def test_a_sparse_method_shows_one_reason_and_the_runner_up(images):
    model = Nearest()
    explanation = explain(model, images[0])
    assert len(explanation.reasons) == 1
    assert explanation.reasons[0].contribution == explanation.breakdown.score
    runner_up = int(explanation.scores.argsort()[-2])
    assert explanation.counter_class == runner_up
    assert explanation.classes[runner_up] in explanation.counter.prototype.classes
    assert explanation.counter.contribution == pytest.approx(float(explanation.scores[runner_up]))


@pytest.mark.parametrize("kind", MODELS)
def test_a_wrong_prediction_is_compared_with_the_true_class(kind, images):
    model = kind()
    scores = model(images[:1]).scores[0]
    worst = int(scores.argmin())
    explanation = explain(model, images[0], label=worst)
    assert explanation.correct is False
    assert explanation.counter_class == worst
    output = model(images[:1])
    best = model.evidence(output, torch.tensor([worst])).contributions[0].max().item()
    assert explanation.counter.contribution == best
    assert "but it is" in str(explanation)
    correct = explain(model, images[0], label=explanation.predicted)
    assert correct.correct
    assert correct.counter_class != correct.prediction


def test_a_class_is_never_its_own_counter_class():
    scores = torch.tensor([[0.0, 2.0, 1.0], [3.0, 3.0, -1.0], [0.5, 0.5, 0.5]])  # with ties
    predictions = scores.argmax(dim=1)
    for explained in range(3):
        classes = torch.full((3,), explained)
        for label in (None, 0, 1, 2):
            counters = counter_classes(scores, predictions, classes, [label] * 3)
            assert (counters != classes).all()
            for row, counter in enumerate(counters.tolist()):
                if label not in (None, explained, int(predictions[row])):
                    assert counter == label
                elif int(predictions[row]) != explained:
                    assert counter == predictions[row]
                else:
                    others = scores[row].clone()
                    others[explained] = -torch.inf
                    assert counter == others.argmax()


@pytest.mark.parametrize("kind", MODELS)
def test_a_second_class_is_explained_for_comparison(kind, images):
    model = kind()
    for explained in range(3):
        for label in (None, 0, 1, 2):
            explanation = explain(model, images[0], classes=[explained], label=label)
            assert explanation.breakdown.class_index == explained
            assert explanation.counter_class != explained


def test_labels_by_name_or_index(images):
    model = Toy()
    assert explain(model, images[0], label="dog").label == 1
    assert explain(model, images[0], label="2").label == 2
    assert explain(model, images[0], label=np.int64(2)).label == 2


def test_votes_have_no_probabilities(images):
    assert explain(Ballot(), images[0]).probabilities is None
    probabilities = explain(Toy(), images[0]).probabilities
    assert probabilities.sum() == pytest.approx(1.0)
    assert explain(Nearest(), images[0]).probabilities is None  # a similarity is not a logit


def test_usage_and_provenance_are_shown(images):
    model = Toy()
    model.prototypes.activations.copy_(torch.tensor([3, 0, 1, 0, 0, 0]))
    model.prototypes.source_index[4] = 17
    views = {r.prototype.index: r.prototype for r in explain(model, images[0], top=None).reasons}
    assert views[1].unused
    assert not views[0].unused
    assert views[0].importance == 0.75
    assert views[4].source_name == "training image 17"


def test_the_dictionary_is_json(images):
    model = Toy()
    explanation = explain(model, images[0], label="dog", classes=[0, 1])
    text = json.dumps(explanation.to_dict(), allow_nan=False)
    assert json.loads(text)["prediction"] == explanation.predicted
    assert len(text) < 10_000
    full = json.loads(json.dumps(explanation.to_dict(arrays=True), allow_nan=False))
    assert np.shape(full["image"]) == (16, 16, 3)
    assert np.shape(full["breakdowns"][0]["reasons"][0]["heat"]) == (16, 16)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"classes": ["catt"]}, "did you mean 'cat'"),
        ({"classes": [3]}, "no class 3; it has classes 0 to 2"),
        ({"label": -1}, "no class -1"),
        ({"prototypes": [6]}, "no prototype 6; it has prototypes 0 to 5"),
        ({"prototypes": [-1]}, "no prototype -1"),
        ({"top": 0}, "at least 1"),
    ],
)
def test_bad_requests(images, options, words):
    with pytest.raises(UserError, match=words) as caught:
        explain(Toy(), images[0], **options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (torch.rand(3, 8, 8), "shape"),
        (torch.rand(3, 16, 16) * 255, "divide them by 255"),
        (torch.full((3, 16, 16), torch.nan), "nan"),
        (torch.randn(3, 16, 16), "normalises them itself"),
        (torch.ones(3, 16, 16, dtype=torch.int32), "expected floats"),
        (np.zeros((2, 3, 4, 5), np.uint8), "not an image"),
        (np.zeros((16, 16), np.int64), "int64"),
        (object(), "not an image"),
        ("no/such/file.png", "no such image"),
    ],
)
def test_unreadable_images(image, words):
    with pytest.raises(UserError, match=words) as caught:
        explain(Toy(), image)
    assert "\n" not in str(caught.value)


def test_a_text_file_is_not_an_image(tmp_path):
    (tmp_path / "a.png").write_text("not an image")
    with pytest.raises(UserError, match=r"a\.png"):
        explain(Toy(), tmp_path / "a.png")


def test_all_kinds_of_images(tmp_path):
    array = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    Image.fromarray(array).save(tmp_path / "a.png")
    model = Toy()
    path = explain(model, tmp_path / "a.png")
    assert path.name.endswith("a.png")
    assert (path.image == array).all()
    for image in (
        array,
        Image.fromarray(array),
        array / 255.0,
        torch.from_numpy(array).permute(2, 0, 1) / 255,
        (tmp_path / "a.png").read_bytes(),
    ):
        other = explain(model, image)
        np.testing.assert_allclose(other.scores, path.scores, atol=1e-5)
    grey = Toy(channels=1)
    assert explain(grey, array).image.shape == (16, 16, 3)
    assert explain(grey, Image.fromarray(array).convert("CMYK")).image.shape == (16, 16, 3)


def test_explaining_leaves_the_model_as_it_was(images):
    model = Toy().train()
    explain(model, images[0])
    assert model.training
    assert all(p.grad is None for p in model.parameters())


def test_a_model_without_evidence_says_what_to_do(images):
    spec = ModelSpec(("cat", "dog"), ImageSpec(16, 16, 3, (0.0,) * 3, (1.0,) * 3))
    model = build("blackbox", {"encoder": "small"}, spec)
    with pytest.raises(UserError, match="resemblance convert RUN"):
        explain(model, images[0])


def test_the_text_adds_up_as_printed(images):
    model = Toy()
    for explanation in explain_batch(model, images, top=3):
        lines = explanation.breakdown.lines()
        values = [float(line.value.replace("−", "-")) for line in lines]
        assert sum(values[:-1]) == pytest.approx(values[-1], abs=1e-9)
        assert explanation.name in str(explanation)


def test_rounded_parts_add_up_and_stay_near():
    rng = np.random.default_rng(0)
    for _ in range(500):
        count = int(rng.integers(1, 30))
        parts = [*(rng.normal(size=count) * 10.0 ** rng.integers(-4, 4)).tolist(), 0.0]
        total = sum(parts)
        decimals = decimals_for([*parts, total])
        rounded, whole = add_up(parts, total, decimals)
        unit = 10.0**-decimals
        assert round(sum(rounded) / unit) == round(whole / unit)
        assert max(abs(a - b) for a, b in zip(rounded, parts, strict=True)) < unit * 1.0001
        assert rounded[-1] == 0 or count == 1
        absorbed, _ = add_up(parts, total, decimals, absorber=0)
        assert absorbed[1:] == [round(part * 10**decimals) / 10**decimals for part in parts[1:]]
        assert round(sum(absorbed) / unit) == round(whole / unit)


@pytest.mark.parametrize("size", [1e-3, 1.0, 1e6])
@pytest.mark.parametrize("bias", [0.0, -2.0, 300.0])
def test_sums_have_a_tolerance_of_1e_5_of_the_summands(size, bias):
    def breakdown(error):
        reasons = tuple(Reason(PrototypeView(i), 1.0, size * c) for i, c in enumerate((3.0, -1.0)))
        total = size * (3.0 - 1.0 + 0.5 - 0.25 + bias)
        allowed = 1e-5 * size * (3.0 + 1.0 + 0.5 + 0.25 + abs(bias))
        return ScoreBreakdown(
            0, "a", total + error * allowed, reasons, 9, size * 0.5, -size * 0.25, size * bias
        )

    for sign in (-1, 1):
        assert breakdown(0.99 * sign).adds_up
        assert not breakdown(1.01 * sign).adds_up


def test_parts_with_another_total_are_not_adjusted():
    rounded, whole = add_up([1.0, 1.0], 5.0, 2)
    assert rounded == [1.0, 1.0]
    assert whole == 5.0
    assert not ScoreBreakdown(0, "a", 5.0, (Reason(PrototypeView(0), 1.0, 1.0),)).adds_up


def test_a_batch_has_at_least_one_image():
    with pytest.raises(UserError, match="batch_size must be at least 1, not 0"):
        explain_batch(Toy(), torch.rand(1, 3, 16, 16), batch_size=0)
