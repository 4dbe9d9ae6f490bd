"""Ensembles: how scores are put together, whose images and classes they take, and what adds up."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from resemblance.config.errors import UserError
from resemblance.config.image import ImageSpec
from resemblance.config.model import ModelSpec
from resemblance.core.classifier import Classifier
from resemblance.data.dataset import ImageDataset
from resemblance.data.sources.source import ArraySource
from resemblance.methods.registry import build
from resemblance.metrics.ensemble import Ensemble, combine, evaluate_ensemble, probabilities
from resemblance.metrics.evaluation import evaluate

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
    """Scores (N, C), image by image, in the order of `CLASSES`."""
    data = ImageDataset(images, model.spec.image)
    with torch.no_grad():
        scores = torch.cat([model(data[i].images).scores for i in range(len(images))])
    return scores[:, [model.spec.classes.index(name) for name in CLASSES]]


def test_logits_are_summed():
    scores = [torch.tensor([[1.0, 2.0], [0.0, -4.0]]), torch.tensor([[3.0, 0.5], [1.0, 9.0]])]
    assert combine(scores, ["logit", "logit"]).tolist() == [[4.0, 2.5], [1.0, 5.0]]


def test_other_scores_are_averaged_as_probabilities():
    logits, votes, chances = (
        torch.tensor([[0.0, 0.0]]),
        torch.tensor([[1.0, 3.0]]),
        torch.tensor([[0.6, 0.4]]),
    )
    found = combine([logits, votes, chances], ["logit", "votes", "probability"])
    assert found.flatten().tolist() == pytest.approx([(0.5 + 0.25 + 0.6) / 3, (0.5 + 0.75 + 0.4) / 3])
    assert combine([chances, chances.flip(1)], ["probability"] * 2).tolist() == [[0.5, 0.5]]


@pytest.mark.parametrize("kind", ["logit", "votes", "probability"])
def test_probabilities_sum_to_one_and_keep_the_order(kind):
    scores = torch.rand(5, 7)
    scores = scores / scores.sum(1, keepdim=True) if kind == "probability" else 9 * scores
    found = probabilities(scores, kind)
    assert torch.allclose(found.sum(1), torch.ones(5))
    assert torch.equal(found.argsort(1), scores.argsort(1))


def test_members_may_differ_in_method_size_channels_and_order_of_classes():
    models = [
        member(seed=1),
        member(size=48, channels=3, seed=2, classes=CLASSES[::-1]),
        member("prototypedl", seed=3),
        member(size=48, channels=3, seed=4, classes=("cow", "ant", "dog", "bee")),
    ]
    images = source()
    found = evaluate_ensemble(models, images, batch_size=5)
    assert found.rule == "sum of the logits"
    total = sum(answers(model, images) for model in models)
    told = total.argmax(1).numpy()
    assert found.whole.wrong == tuple(np.flatnonzero(told != images.labels).tolist())
    expected = np.zeros((4, 4), int)
    np.add.at(expected, (images.labels, told), 1)
    assert (found.whole.confusion == expected).all()
    assert found.whole.accuracy == np.mean(told == images.labels)
    for model, one in zip(models, found.members, strict=True):
        right = answers(model, images).argmax(1).numpy() == images.labels
        assert one.accuracy == np.mean(right)
        assert one.prototypes == len(model.prototypes)
        assert one.classes == model.spec.classes


def test_votes_logits_and_a_tree_are_averaged_in_one_pass():
    models = [member("kmex", patches=True), member(seed=1), member("prototree")]
    for model in models:
        model.train()
    images = source()
    found = evaluate_ensemble(models, images, batch_size=7)
    assert all(model.training for model in models)
    for model in models:
        model.eval()
    votes, logits, chances = (answers(model, images) for model in models)
    mean = (votes / votes.sum(1, keepdim=True) + logits.softmax(1) + chances) / 3
    assert found.whole.accuracy == np.mean(mean.argmax(1).numpy() == images.labels)
    assert [one.accuracy for one in found.members] == [evaluate(m, images).accuracy for m in models]


def test_the_evidence_of_the_members_adds_up():
    models = [member(seed=1), member("prototypedl", classes=CLASSES[::-1]), member("kmex")]
    both, images = Ensemble(models), torch.rand(5, 1, 32, 32)
    with torch.no_grad():
        outputs = both.outputs([images] * 3)
        scores = both.scores(outputs)
        classes = torch.tensor([0, 1, 2, 3, 1])
        parts = both.evidence(outputs, classes)
    total = sum(part.contributions.sum(1) + part.bias for part in parts)
    assert torch.allclose(total, scores.gather(1, classes[:, None]).squeeze(1), rtol=1e-4, atol=1e-4)


def test_what_is_no_ensemble_is_refused():
    one, images = member(), torch.rand(1, 1, 32, 32)
    with pytest.raises(UserError, match="at least 2 models, not 1"):
        Ensemble([one])
    with pytest.raises(UserError, match=r"only the first knows ant; only model 2 knows 7, 8, 9 and 1 more"):
        Ensemble([one, member(classes=("bee", "cow", "dog", "8", "7", "9", "a"))])
    votes = Ensemble([one, member("kmex", patches=True)])
    with pytest.raises(UserError, match="only where logits are summed"):
        votes.evidence(votes.outputs([images, images]), torch.zeros(1, dtype=torch.int64))
    torch.manual_seed(0)
    plain = build("blackbox", {"encoder": "small"}, one.spec)
    dark = Ensemble([one, plain.eval()])
    with pytest.raises(UserError, match="blackbox has no evidence"):
        dark.evidence(dark.outputs([images, images]), torch.zeros(1, dtype=torch.int64))
    with pytest.raises(UserError, match="no images"):
        evaluate_ensemble([one, one], source(0))
