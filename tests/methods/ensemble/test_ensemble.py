"""Ensembles: how scores are combined, which images and classes they read, and what adds up."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from contract_checks import assert_evidence
from dividing import helped_by_threads
from resemblance.config.errors import UserError
from resemblance.config.image import ImageSpec
from resemblance.config.model import ModelSpec
from resemblance.core.classifier import Classifier
from resemblance.core.probabilities import as_probabilities
from resemblance.data.dataset import ImageDataset
from resemblance.data.loader import loader
from resemblance.data.sources.source import ArraySource
from resemblance.explain.explain import explain
from resemblance.explain.prototype_view import prototype_views
from resemblance.methods.ensemble.model import Ensemble, PrototypeEnsemble, make_ensemble
from resemblance.methods.ensemble.rule import combine
from resemblance.methods.loading import load
from resemblance.methods.registry import build
from resemblance.metrics.ensemble import evaluate_ensemble
from resemblance.metrics.evaluation import evaluate
from resemblance.report.collect import collect
from resemblance.report.page import report_html
from resemblance.training.ends.gallery import build_gallery
from resemblance.training.ends.usage import count_usage

CLASSES = ("ant", "bee", "cow", "dog")


def member(method="protopnet", size=32, channels=1, classes=CLASSES, seed=0, **config) -> Classifier:
    torch.manual_seed(seed)
    image = ImageSpec(size, size, channels, (0.5,) * channels, (0.25,) * channels)
    config = {"encoder": "small", "prototypes_per_class": 2, **config}
    if method in ("prototypedl", "prototree"):
        config = {"encoder": "small"} if method == "prototree" else {}
    return build(method, config, ModelSpec(tuple(classes), image)).eval()


def source(count=23, classes=CLASSES) -> ArraySource:
    generator = np.random.default_rng(0)
    labels = generator.integers(0, len(classes), count)
    return ArraySource(generator.integers(0, 256, (count, 32, 32, 1), dtype=np.uint8), labels, classes)


def answers(model: Classifier, images: ArraySource) -> torch.Tensor:
    """Compute the scores (N, C), image by image, in the order of `CLASSES`."""
    data = ImageDataset(images, model.spec.image)
    with torch.no_grad():
        scores = torch.cat([model(data[i].images).scores for i in range(len(images))])
    return scores[:, [model.spec.classes.index(name) for name in CLASSES]]


def test_logits_are_summed():
    scores = [torch.tensor([[1.0, 2.0], [0.0, -4.0]]), torch.tensor([[3.0, 0.5], [1.0, 9.0]])]
    assert combine(scores, ["logit", "logit"]).tolist() == [[4.0, 2.5], [1.0, 5.0]]


def test_other_scores_are_averaged_as_probabilities():
    logits, votes, likelihoods = (
        torch.tensor([[0.0, 0.0]]),
        torch.tensor([[1.0, 3.0]]),
        torch.tensor([[0.6, 0.4]]),
    )
    scores = combine([logits, votes, likelihoods], ["logit", "votes", "probability"])
    assert scores.flatten().tolist() == pytest.approx([(0.5 + 0.25 + 0.6) / 3, (0.5 + 0.75 + 0.4) / 3])
    assert combine([likelihoods, likelihoods.flip(1)], ["probability"] * 2).tolist() == [[0.5, 0.5]]


@pytest.mark.parametrize("kind", ["logit", "votes", "probability"])
def test_probabilities_sum_to_one_and_keep_the_order(kind):
    scores = torch.rand(5, 7)
    scores = scores / scores.sum(1, keepdim=True) if kind == "probability" else 9 * scores
    shares = as_probabilities(scores, kind)
    assert torch.allclose(shares.sum(1), torch.ones(5))
    assert torch.equal(shares.argsort(1), scores.argsort(1))


def test_members_may_differ_in_method_size_channels_and_order_of_classes():
    models = [
        member(seed=1),
        member(size=48, channels=3, seed=2, classes=CLASSES[::-1]),
        member("prototypedl", seed=3),
        member(size=48, channels=3, seed=4, classes=("cow", "ant", "dog", "bee")),
    ]
    images = source()
    evaluation = evaluate_ensemble(models, images, batch_size=5)
    assert evaluation.rule == "sum of the logits"
    total = sum(answers(model, images) for model in models)
    predicted = total.argmax(1).numpy()
    assert evaluation.whole.wrong == tuple(np.flatnonzero(predicted != images.labels).tolist())
    expected = np.zeros((4, 4), int)
    np.add.at(expected, (images.labels, predicted), 1)
    assert (evaluation.whole.confusion == expected).all()
    assert evaluation.whole.accuracy == np.mean(predicted == images.labels)
    for model, one in zip(models, evaluation.members, strict=True):
        right = answers(model, images).argmax(1).numpy() == images.labels
        assert one.accuracy == np.mean(right)
        assert one.prototypes == len(model.prototypes)
        assert one.classes == model.spec.classes
        if model.spec.classes == CLASSES:
            alone = evaluate(model, images)
            assert (one.sure, one.least_familiar) == (alone.sure, alone.least_familiar)
    sure = total.softmax(1).max(1).values >= 0.9
    assert evaluation.whole.sure == (
        int(sure.sum()),
        int((sure & torch.from_numpy(predicted == images.labels)).sum()),
    )


def test_votes_logits_and_a_tree_are_averaged_in_one_pass():
    models = [member("kmex", patches=True), member(seed=1), member("prototree")]
    for model in models:
        model.train()
    images = source()
    evaluation = evaluate_ensemble(models, images, batch_size=7)
    assert all(model.training for model in models)
    with helped_by_threads():
        assert evaluate_ensemble(models, images, batch_size=7).to_dict() == evaluation.to_dict()
    for model in models:
        model.eval()
    votes, logits, likelihoods = (answers(model, images) for model in models)
    mean = (votes / votes.sum(1, keepdim=True) + logits.softmax(1) + likelihoods) / 3
    assert evaluation.whole.accuracy == np.mean(mean.argmax(1).numpy() == images.labels)
    assert [one.accuracy for one in evaluation.members] == [evaluate(m, images).accuracy for m in models]


TOGETHER = {
    "weights, distances and similarities": [("protopnet", {}), ("prototypedl", {}), ("kmex", {})],
    "votes and a tree": [("kmex", {"patches": True}), ("prototree", {})],
    "attributes and parts": [("flint", {"encoder": "small"}), ("tesnet", {})],
}


def models_of(kinds):
    torch.manual_seed(0)
    spec = ModelSpec(CLASSES, ImageSpec(32, 32, 1, (0.5,), (0.25,)))
    models = []
    for number, (method, config) in enumerate(kinds):
        order = CLASSES[::-1] if number % 2 else CLASSES
        settings = {} if method in ("prototypedl",) else {"encoder": "small", **config}
        models.append(build(method, settings, ModelSpec(order, spec.image)).eval())
    return models


@pytest.mark.parametrize("name", TOGETHER)
def test_the_reasons_of_the_members_add_up_and_are_explained(name):
    models = models_of(TOGETHER[name])
    both, images = make_ensemble(models), torch.rand(5, 1, 32, 32)
    assert isinstance(both, PrototypeEnsemble)
    with torch.no_grad():
        output = both(images)
    for classes in (torch.tensor([0, 1, 2, 3, 1]), output.scores.argmax(1)):
        assert_evidence(both, output)
        evidence = both.evidence(output, classes)
        assert evidence.contributions.shape[1] == len(evidence.prototypes)
    assert len(both.prototypes) == sum(len(model.prototypes) for model in models)
    explanation = both.explain(images[0], top=None)
    assert explanation.breakdown.adds_up
    assert {reason.prototype.index for reason in explanation.reasons} <= set(range(len(both.prototypes)))
    explanation.plot()


def test_the_owners_are_in_the_order_of_the_first():
    models = models_of(
        [("protopnet", {"prototypes_per_class": 1}), ("protopnet", {"prototypes_per_class": 1})]
    )
    names = make_ensemble(models).prototypes.owner_names(CLASSES)
    assert names == [("ant",), ("bee",), ("cow",), ("dog",), ("dog",), ("cow",), ("bee",), ("ant",)]


def test_members_of_other_sizes_and_channels_read_what_they_are_made_for():
    models = [member(size=48, channels=3, seed=1), member(size=32, seed=2)]
    both = make_ensemble(models)
    assert both.spec.image.size == (48, 48)
    assert both.spec.image.channels == 3
    large, small = both.adapted(torch.rand(2, 3, 48, 48))
    assert large.shape == (2, 3, 48, 48)
    assert small.shape == (2, 1, 32, 32)
    assert both.explain(torch.rand(3, 48, 48)).located


@pytest.mark.parametrize("kinds", [*TOGETHER.values(), [("blackbox", {}), ("prototree", {})]])
def test_an_ensemble_is_saved_and_loaded_like_a_model(kinds, tmp_path):
    both, images = make_ensemble(models_of(kinds)), torch.rand(3, 1, 32, 32)
    both.save(tmp_path / "model")
    again = load(tmp_path / "model")
    assert type(again) is type(both)
    assert torch.equal(again(images).scores, both(images).scores)
    if isinstance(both, PrototypeEnsemble):
        assert torch.equal(again.prototypes.owners, both.prototypes.owners)
        assert again.explain(images[0]).to_dict() == both.explain(images[0]).to_dict()


def test_an_ensemble_is_reported_like_a_model():
    models = models_of([("protopnet", {}), ("kmex", {})])
    images = source()
    for model in models:
        count_usage(model, loader(ImageDataset(images, model.spec.image), 8))
        model.gallery = build_gallery(model, images)
    both = make_ensemble(models)
    assert len(both.gallery) == len(both.prototypes)
    evaluation = evaluate(both, images)
    page = report_html(
        [
            collect(
                both,
                "both",
                confusions={"test": evaluation.confusion},
                explanations=[both.explain(images.read(0))],
            )
        ]
    )
    assert "both" in page
    assert len(prototype_views(both)) == len(both.prototypes)


def test_what_is_not_an_ensemble_is_refused():
    one = member()
    with pytest.raises(UserError, match="at least 2 models, not 1"):
        make_ensemble([one])
    with pytest.raises(UserError, match=r"only the first has ant; only model 2 has 7, 8, 9 and 1 more"):
        make_ensemble([one, member(classes=("bee", "cow", "dog", "8", "7", "9", "a"))])
    mixed = make_ensemble([one, member("kmex", patches=True)])
    assert not isinstance(mixed, PrototypeEnsemble)  # a softmax stands between the reasons and the score
    torch.manual_seed(0)
    plain = build("blackbox", {"encoder": "small"}, one.spec)
    black_boxes = make_ensemble([one, plain.eval()])
    assert isinstance(black_boxes, Ensemble)
    with pytest.raises(UserError, match="no evidence"):
        explain(black_boxes, torch.rand(1, 32, 32))
    with pytest.raises(UserError, match="not trained"):
        black_boxes.loss(black_boxes(torch.rand(1, 1, 32, 32)), torch.tensor([0]))
    with pytest.raises(UserError, match="no images"):
        evaluate_ensemble([one, one], source(0))


def test_members_that_prepare_images_in_different_ways_are_refused():
    one, two = member(seed=0), member(seed=1)
    for model in (one, two):
        model.spec = replace(model.spec, image=replace(model.spec.image, resize="pad", crop_share=0.9))
    assert make_ensemble([one, two]).spec.image.resize == "pad"
    assert make_ensemble([one, two]).spec.image.padding == (0.5,)  # the mean of the members
    two.spec = replace(two.spec, image=replace(two.spec.image, resize="crop"))
    with pytest.raises(UserError, match=r"in the same way, not by crop 0\.9 bilinear, pad 0\.9 bilinear"):
        make_ensemble([one, two])
