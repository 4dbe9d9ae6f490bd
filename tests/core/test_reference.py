"""The reference of similarities: quantiles of what is classified correctly, and sets of classes at a level."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from cases import METHODS, PROTOTYPE_METHODS, made
from resemblance.config.errors import UserError
from resemblance.core.conformal import KEPT, Calibration, ranks
from resemblance.core.deciding import deciding_similarity
from resemblance.core.output import Output
from resemblance.core.prototype_model import PrototypeModel
from resemblance.core.reference import ENOUGH, QUANTILES, Reference, SimilarityRange
from resemblance.core.reference_counts import ReferenceCounts
from toy_model import Distances, Nearest, Toy


def outputs(scores, similarities):
    return Output(scores, similarities, torch.zeros(len(scores), 1))


def collected(model, scores, similarities, labels, batch=7):
    counts = ReferenceCounts(model)
    for start in range(0, len(labels), batch):
        rows = slice(start, start + batch)
        counts.add(outputs(scores[rows], similarities[rows]), labels[rows])
    return counts.result()


def random_outputs(model, count, seed=0):
    generator = torch.Generator().manual_seed(seed)
    scores = torch.randn(count, model.spec.num_classes, generator=generator)
    similarities = torch.rand(count, len(model.prototypes), generator=generator)
    return scores, similarities


def test_quantiles_are_of_the_deciding_similarity_of_correct_images():
    model = Toy()
    scores, similarities = random_outputs(model, 900)
    labels = torch.arange(900) % 3
    reference = collected(model, scores, similarities, labels)
    predicted = scores.argmax(dim=1)
    own = similarities.masked_fill(~model.prototypes.owners.T[predicted], -1).amax(dim=1)
    correct = predicted == labels
    for known, rows in [
        (reference.whole, correct),
        *((reference.classes[c], correct & (labels == c)) for c in range(3)),
    ]:
        assert known.images == int(rows.sum())
        expected = (
            np.quantile(own[rows].numpy().astype(np.float64), QUANTILES) if known.images >= ENOUGH else []
        )
        assert known.values == pytest.approx(list(expected), rel=1e-5)
    assert reference.calibration.images == 900  # wrong images too: a set has to hold their class


def test_the_order_and_the_batches_do_not_matter():
    model = Nearest()
    scores, similarities = random_outputs(model, 500)
    labels = torch.arange(500) % 3
    order = torch.randperm(500, generator=torch.Generator().manual_seed(1))
    first = collected(model, scores, similarities, labels)
    assert first == collected(model, scores[order], similarities[order], labels[order], batch=64)


def test_a_class_has_its_own_range_from_enough_images_on_and_else_that_of_all():
    model = Toy()
    labels = torch.cat([torch.zeros(ENOUGH), torch.ones(ENOUGH - 1)]).long()
    scores = torch.nn.functional.one_hot(labels, 3).float()
    reference = collected(model, scores, torch.rand(len(labels), 6), labels)
    assert reference.of(0) is reference.classes[0]
    assert reference.of(1) is reference.whole
    assert reference.of(2) is reference.whole
    assert not reference.classes[1].enough
    few = collected(model, scores[:50], torch.rand(50, 6), labels[:50])
    assert not few.of(0).enough
    assert few.of(0).images == 50


def test_a_class_without_prototypes_counts_for_nothing():
    model = Toy()
    model.prototypes.owners[:2] = False
    labels = torch.arange(400) % 2
    scores = torch.nn.functional.one_hot(labels, 3).float()
    reference = collected(model, scores, torch.rand(400, 6), labels)
    assert reference.classes[0].images == 0
    assert reference.whole.images == 200
    assert np.isfinite(reference.whole.values).all()


def test_distances_are_negative_similarities():
    model = Distances()
    labels = torch.arange(300) % 3
    scores = torch.nn.functional.one_hot(labels, 3).float()
    reference = collected(model, scores, -torch.rand(300, 6), labels)
    assert max(reference.whole.values) <= 0


@pytest.mark.parametrize("method", METHODS)
def test_every_method_has_ordered_quantiles_or_says_that_it_has_none(method, trained):
    model = trained(method).model
    images = torch.rand(24, 1, 16, 16, generator=torch.Generator().manual_seed(0)).repeat(9, 1, 1, 1)
    with torch.no_grad():
        output = model(images)
    deciding = deciding_similarity(model, output)
    counts = ReferenceCounts(model)
    counts.add(output, output.scores.argmax(dim=1))
    reference = counts.result()
    assert Reference.from_dict(json.loads(json.dumps(reference.to_dict())), 10) == reference
    if deciding is None:
        assert method not in PROTOTYPE_METHODS or method in ("senn", "flint")
        assert reference.whole is None
        return
    assert reference.whole.images == int(deciding[0].isfinite().sum())
    for known in (reference.whole, *reference.classes):
        assert list(known.values) == sorted(known.values)
        assert known.enough == (known.images >= ENOUGH)
    assert ((deciding[1] >= 0) & (deciding[1] < len(model.prototypes))).all()


@pytest.mark.parametrize("method", ["kmex", "prototree", "senn"])
def test_it_is_in_the_model_folder_and_an_old_folder_has_none(method, tmp_path):
    import resemblance

    model = made(method)
    assert isinstance(model, PrototypeModel)
    model.save(tmp_path / "old")
    assert resemblance.load(tmp_path / "old").reference is None
    counts = ReferenceCounts(model)
    with torch.no_grad():
        output = model(torch.rand(120, 1, 16, 16))
    counts.add(output, output.scores.argmax(dim=1))
    model.reference = counts.result(before_refit=True)
    model.save(tmp_path / "new")
    assert (tmp_path / "new" / "reference.json").is_file()
    loaded = resemblance.load(tmp_path / "new")
    assert loaded.reference == model.reference
    assert loaded.reference.before_refit


def test_pruned_prototypes_have_no_reference():
    model = Toy()
    labels = torch.arange(300) % 3
    model.reference = collected(model, *random_outputs(model, 300), labels)
    model.keep(torch.tensor([0, 2, 4]))
    assert model.reference is None


def broken(**changes):
    reference = Reference(
        SimilarityRange.of(np.linspace(0, 1, 200)),
        (SimilarityRange(90), SimilarityRange(0)),
        Calibration.of([0.5]),
    )
    return reference.to_dict() | changes


@pytest.mark.parametrize(
    "changes",
    [
        {"quantiles": [0.5]},
        {"all": {"images": 200, "values": [0.0] * 9}},
        {"all": {"images": 200, "values": [1.0, *[0.0] * 9]}},
        {"all": {"images": 200, "values": [0.0] * 9 + [float("nan")]}},
        {"all": {"images": 20, "values": [0.0] * 10}},
        {"all": {"images": -1, "values": []}},
        {"classes": []},
        {"classes": "ab"},
        {"calibration": {"images": 2, "probabilities": [0.5]}},
        {"calibration": {"images": 2, "probabilities": [0.5, 0.6]}},
        {"calibration": {"images": 10**400, "probabilities": [0.5] * 1000}},
        {"before_refit": "yes"},
    ],
)
def test_a_damaged_reference_is_refused_in_one_line(changes):
    assert Reference.from_dict(broken(), 2).whole.enough
    with pytest.raises(UserError, match=r"^somewhere[^\n]*$"):
        Reference.from_dict(broken(**changes), 2, "somewhere")
    missing = broken()
    del missing[next(iter(changes))]
    with pytest.raises(UserError, match="missing"):
        Reference.from_dict(missing, 2)


@pytest.mark.parametrize("images", [19, 150, 4321])
@pytest.mark.parametrize("level", [0.5, 0.8, 0.9, 0.99])
def test_sets_hold_the_true_class_as_often_as_asked(images, level):
    """Over many draws of validation images and one more, exactly ⌈(n + 1) level⌉ / (n + 1) of the sets hold it."""
    generator = np.random.default_rng(0)
    held, tries = 0, 400
    for _ in range(tries):
        values = generator.random(images + 1).astype(np.float32)
        threshold = Calibration.of(values[:-1]).threshold(level)
        held += threshold is None or values[-1] >= np.float32(threshold)
    exact = min(1, np.ceil((images + 1) * level - 1e-9) / (images + 1))
    assert held / tries == pytest.approx(exact, abs=4 * np.sqrt(exact * (1 - exact) / tries) + 0.002)


def test_kept_probabilities_are_those_of_their_ranks():
    values = np.random.default_rng(0).random(12_345).astype(np.float32)
    calibration = Calibration.of(values)
    assert len(calibration.probabilities) == KEPT
    ordered = np.sort(values)[::-1]
    assert np.array_equal(np.float32(calibration.probabilities), ordered[ranks(12_345) - 1])
    for level in (0.1, 0.5, 0.9, 0.95, 0.999):
        wanted = int(np.ceil(12_346 * level))
        reached = int((ordered >= np.float32(calibration.threshold(level))).sum())
        assert wanted <= reached <= wanted + 13
    assert calibration.threshold(1.0) is None
    assert replace(calibration, images=0, probabilities=()).threshold(0.5) is None
