"""Class means on a model's encoder, against an obvious re-implementation; and the note about them."""

from __future__ import annotations

import numpy as np
import pytest

import resemblance
from cases import made
from frozen import made_with_weights
from resemblance.data.dataset import ImageDataset
from resemblance.data.loader import loader
from resemblance.metrics.class_means import class_means_accuracy, compares_with_class_means
from resemblance.runs import finish
from resemblance.training.cached.kept_latents import KeptLatents
from resemblance.training.cached.latent_cache import LatentCache
from resemblance.training.ends.passes import evaluating
from tiny import digits


def batches(model, source, size=32):
    return loader(ImageDataset(source, model.spec.image), size)


def expected(model, train, test):
    def embeddings(source):
        images = ImageDataset(source, model.spec.image).__getitems__(range(len(source))).images
        with evaluating(model):
            return model.encode(images).double().flatten(2).mean(2).numpy()

    rows, others = embeddings(train), embeddings(test)
    means = {c: rows[train.labels == c].mean(axis=0) for c in np.unique(train.labels)}
    nearest = [min(means, key=lambda c: ((row - means[c]) ** 2).sum()) for row in others]
    return np.mean(np.array(nearest) == test.labels)


def test_the_accuracy_is_that_of_the_nearest_mean(tmp_path):
    splits = digits(90, 50)
    model = made_with_weights("protopnet", tmp_path)
    accuracy = class_means_accuracy(model, batches(model, splits.train), batches(model, splits.val))
    assert accuracy == pytest.approx(expected(model, splits.train, splits.val), abs=1e-12)
    assert 0.3 < accuracy < 1
    cache = KeptLatents(model, LatentCache.of_user(1))
    kept = [cache.batches(part, 7) for part in (splits.train, splits.val)]
    assert class_means_accuracy(model, *kept) == accuracy


def test_a_class_without_images_is_never_the_nearest(tmp_path):
    splits = digits(90, 50)
    few = type(splits.train)(splits.train.array[:4], splits.train.labels[:4], splits.classes)
    model = made_with_weights("protopnet", tmp_path)
    accuracy = class_means_accuracy(model, batches(model, few), batches(model, splits.val))
    assert accuracy == pytest.approx(expected(model, few, splits.val), abs=1e-12)


def test_there_must_be_images(tmp_path):
    model = made_with_weights("protopnet", tmp_path)
    with pytest.raises(ValueError, match="no images"):
        class_means_accuracy(model, batches(model, digits(90, 50).train), [])


def test_trained_prototypes_on_an_encoder_are_compared():
    for method in ("protopnet", "pipnet", "prototree", "tesnet"):
        assert compares_with_class_means(made(method))
    for method in ("kmex", "blackbox", "protovae", "senn"):
        assert not compares_with_class_means(made(method))
    assert not compares_with_class_means(made("kmex", patches=True))


def test_a_run_says_if_class_means_are_more_accurate(tmp_path, monkeypatch):
    options = {"encoder": "small", "epochs": 1, "last_epochs": 1, "prototypes_per_class": 1, "report": False}
    monkeypatch.setattr(finish, "class_means_accuracy", lambda *_: 1.0)
    run = resemblance.train("protopnet", digits(96, 40), tmp_path / "a", image_size=16, **options)
    [note] = [note for note in run.notes if "class means" in note]
    assert note.startswith("the prototypes classify")
    assert "(KMEx with one prototype per class) 100.00 %: train longer, or convert the encoder" in note
    assert resemblance.load(tmp_path / "a").facts["class_means"] == {"val": 1.0}
    monkeypatch.setattr(finish, "class_means_accuracy", lambda *_: 0.0)
    run = resemblance.train("protopnet", digits(96, 40), tmp_path / "b", image_size=16, **options)
    assert not any("class means" in note for note in run.notes)


def test_no_more_images_are_averaged_than_needed(monkeypatch):
    monkeypatch.setattr(finish, "AVERAGED", 40)
    assert len(finish._sample(90)) == 30
    monkeypatch.setattr(finish, "AVERAGED", 90)
    assert len(finish._sample(90)) == 90
