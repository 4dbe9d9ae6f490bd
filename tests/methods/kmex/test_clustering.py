"""Clustering against plain re-implementations; memory, samples and small classes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from resemblance.config.errors import UserError
from resemblance.config.image import ImageSpec
from resemblance.config.model import ModelSpec
from resemblance.data import ArraySource, ImageDataset, loader
from resemblance.methods.kmex.clustering import cluster
from resemblance.methods.kmex.embeddings import Embeddings
from resemblance.methods.kmex.kmeans import centres
from resemblance.methods.kmex.sampling import Sample, lowest, priorities
from resemblance.methods.registry import build
from resemblance.training.ends.usage import count_usage

SPEC = ModelSpec(("a", "b", "c", "d"), ImageSpec(20, 20, 1, (0.5,), (0.25,)))


def batches(labels=None, size=8, classes=SPEC.classes):
    labels = np.arange(40) % 3 if labels is None else np.asarray(labels)
    pixels = np.random.default_rng(0).integers(0, 256, (len(labels), 20, 20, 1), dtype=np.uint8)
    return loader(ImageDataset(ArraySource(pixels, labels, classes), SPEC.image), size)


def make(**config):
    torch.manual_seed(0)
    return build("kmex", {"encoder": "small", "prototypes_per_class": 3, **config}, SPEC).eval()


def embeddings_of(model, data):
    with torch.no_grad():
        pairs = [(model.latents(batch.images), batch.labels) for batch in data]
        return torch.cat([z for z, _ in pairs]), torch.cat([y for _, y in pairs])


def test_prototypes_are_means_of_the_embeddings_that_are_nearest():
    model, data = make(), batches()
    clustering = cluster(model, data)
    assert clustering.prototypes == (3, 3, 3, 0)
    latents, labels = embeddings_of(model, data)
    vectors, owners = model.prototypes.vectors, model.prototypes.owners.int().argmax(1)
    for c in range(3):
        own, z = vectors[owners == c], latents[labels == c]
        nearest = torch.cdist(z, own).argmin(1)
        for k in range(len(own)):
            assert torch.allclose(own[k], z[nearest == k].mean(0), atol=1e-5)


def test_usage_is_counted_on_the_same_images():
    model, data = make(), batches()
    cluster(model, data)
    latents, labels = embeddings_of(model, data)
    vectors, owners = model.prototypes.vectors, model.prototypes.owners.int().argmax(1)
    distances = torch.cdist(latents, vectors)
    counts = torch.bincount(distances.argmin(1), minlength=len(vectors))
    assert model.prototypes.activations.tolist() == counts.tolist()
    own = distances.masked_fill(owners != labels[:, None], torch.inf)
    assert model.prototypes.own_activations.tolist() == torch.bincount(own.argmin(1), minlength=9).tolist()
    assert model.prototypes.own_activations.sum() == 40
    assert model.prototypes.source_index.tolist() == own.argmin(0).tolist()
    assert (model.prototypes.source_box == torch.tensor([0, 0, 20, 20])).all()


def test_one_pass_counts_as_a_second_pass_would():
    for patches in (False, True):
        model, data = make(patches=patches), batches()
        cluster(model, data)
        before = {name: buffer.clone() for name, buffer in model.prototypes.named_buffers()}
        count_usage(model, data)
        for name, buffer in model.prototypes.named_buffers():
            assert torch.allclose(buffer.float(), before[name].float(), atol=1e-5), name


def test_embeddings_in_a_file_give_the_same_prototypes():
    first, second = make(), make()
    assert not cluster(first, batches()).on_disk
    clustering = cluster(second, batches(), budget=10_000)
    assert clustering.on_disk
    assert any("temporary file" in line for line in clustering.lines())
    for name, tensor in first.prototypes.state_dict().items():
        assert torch.equal(tensor, second.prototypes.state_dict()[name]), name


@pytest.mark.parametrize("patches", [False, True])
def test_the_seed_decides(patches):
    vectors = []
    for seed in (0, 0, 1):
        model = make(patches=patches, n_init=2)
        cluster(model, batches(), seed=seed)
        vectors.append(model.prototypes.vectors)
    assert torch.equal(vectors[0], vectors[1])


def test_small_and_missing_classes_are_reported():
    model = make()
    clustering = cluster(model, batches([0] * 20 + [1, 1, 3]))
    assert clustering.prototypes == (3, 2, 0, 1)
    text = " ".join(clustering.lines())
    assert "no training images of c" in text
    assert "b (2)" in text
    assert "d (1)" in text
    assert model.prototypes.owners.sum(0).tolist() == [3, 2, 0, 1]
    assert set(model.prototypes.source_index[model.prototypes.owners[:, 1]].tolist()) == {20, 21}


def test_repeated_images_make_one_prototype():
    pixels = np.repeat(np.random.default_rng(0).integers(0, 256, (2, 20, 20, 1), dtype=np.uint8), 10, axis=0)
    source = ArraySource(pixels, np.repeat([0, 1], 10), SPEC.classes)
    clustering = cluster(make(), loader(ImageDataset(source, SPEC.image), 4))
    assert clustering.prototypes == (1, 1, 0, 0)


def test_a_sample_is_reported_and_all_images_are_counted():
    model = make(subset=5)
    clustering = cluster(model, batches())
    assert clustering.clustered == (5, 5, 5, 0)
    assert "random sample" in " ".join(clustering.lines())
    assert model.prototypes.activations.sum() == 40


def test_patches_come_from_the_maps_cells():
    model, data = make(patches=True), batches()
    clustering = cluster(model, data)
    assert clustering.embeddings == (14 * 25, 13 * 25, 13 * 25, 0)
    assert model.prototypes.vectors.shape == (9, 128, 1, 1)
    latents, labels = embeddings_of(model, data)
    rows = latents.flatten(2).transpose(1, 2)  # (N, cells, D)
    own = model.prototypes.vectors.flatten(1)[model.prototypes.owners[:, 0]]
    patches = rows[labels == 0].flatten(0, 1)
    nearest = torch.cdist(patches, own).argmin(1)
    for k in range(len(own)):
        assert torch.allclose(own[k], patches[nearest == k].mean(0), atol=1e-4)
    boxes = model.prototypes.source_box
    assert ((boxes[:, 2] - boxes[:, 0]) == 4).all()
    assert ((boxes[:, 3] - boxes[:, 1]) == 4).all()
    used = torch.zeros(9, dtype=torch.int64)
    for image in rows:
        used[torch.cdist(image, model.prototypes.vectors.flatten(1)).argmin(1).unique()] += 1
    assert model.prototypes.activations.tolist() == used.tolist()


def test_patches_respect_the_memory_budget():
    model = make(patches=True)
    clustering = cluster(model, batches(), budget=1)
    assert clustering.clustered == (60, 60, 60, 0)
    assert "random sample" in " ".join(clustering.lines())


def test_no_images_and_undefined_embeddings_are_refused():
    with pytest.raises(UserError, match="no training images"):
        cluster(make(), [])
    model = make()
    with torch.no_grad():
        model.encoder.layers[0].weight.fill_(torch.nan)
    with pytest.raises(UserError, match="infinite or undefined"):
        cluster(model, batches())


def test_centres_agree_with_lloyds_algorithm():
    generator = np.random.default_rng(0)
    rows = np.concatenate([generator.normal(c, 0.1, (size, 3)) for c, size in ((0, 30), (5, 50), (9, 20))])
    means = centres(rows.astype(np.float32), 3, seed=1, n_init=5)
    assert means[:, 0] == pytest.approx([5, 0, 9], abs=0.1)  # the largest cluster first
    nearest = ((rows[:, None] - means) ** 2).sum(2).argmin(1)
    for k in range(3):
        assert means[k] == pytest.approx(rows[nearest == k].mean(0), abs=1e-4)


def test_more_clusters_than_different_rows():
    rows = np.array([[0.1, 0.2]] * 7 + [[0.3, 0.7]] * 8, np.float32)
    assert len(centres(rows, 5)) == 2
    assert len(centres(rows[:1], 5)) == 1


def test_a_sample_does_not_depend_on_batches():
    rows = np.random.default_rng(0).normal(size=(500, 4)).astype(np.float32)
    keys = np.random.default_rng(1).permutation(500)
    samples = []
    for size in (1, 7, 500):
        sample = Sample(20, seed=3)
        for start in range(0, 500, size):
            sample.add(rows[start : start + size], keys[start : start + size])
        assert sample.seen == 500
        samples.append(sample.rows())
    assert np.array_equal(samples[0], samples[1])
    assert np.array_equal(samples[0], samples[2])
    best = lowest(priorities(keys, 3), 20)
    assert np.array_equal(samples[0], rows[best[np.argsort(keys[best])]])


def test_samples_are_even():
    drawn = np.zeros(50)
    for seed in range(400):
        drawn[lowest(priorities(np.arange(50), seed), 10)] += 1
    assert drawn.sum() == 4000
    assert 45 < drawn.min() <= drawn.max() < 120


@pytest.mark.parametrize("budget", [0, 100, 10**6])
def test_embeddings_are_returned_unchanged(budget):
    rows = np.random.default_rng(0).normal(size=(23, 5)).astype(np.float32)
    with Embeddings(budget) as store:
        for start in range(0, 23, 4):
            part = slice(start, start + 4)
            store.append(rows[part], np.arange(23)[part] % 3, np.arange(23)[part])
            assert len(store) == min(start + 4, 23)
        assert np.array_equal(store.read(np.array([1, 5, 22])), rows[[1, 5, 22]])
        blocks = [block for block, _, _ in store.blocks(10)]
        assert np.array_equal(np.concatenate(blocks), rows)
        assert store.on_disk == (budget < rows.nbytes)
