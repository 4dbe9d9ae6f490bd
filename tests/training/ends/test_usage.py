"""Usage counts against a simple re-implementation."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from looking_glass import LookingGlass, Whole, batches
from resemblance.config.errors import UserError
from resemblance.config.image import ImageSpec
from resemblance.config.method import MethodConfig
from resemblance.config.model import ModelSpec
from resemblance.core.output import Output
from resemblance.core.prototype_model import PrototypeModel
from resemblance.data import ArraySource, ImageDataset, loader
from resemblance.methods.registry import build
from resemblance.prototypes.layer import PrototypeLayer
from resemblance.prototypes.maps import cell_boxes
from resemblance.prototypes.scalars import ScalarPrototypes
from resemblance.training.ends.usage import count_usage


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 10_000), size=st.integers(1, 12), data=st.data())
def test_counts_and_provenance_of_whole_images(seed, size, data):
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(3, (11, 1, 2, 2), generator=generator).float()
    labels = torch.randint(3, (11,), generator=generator)
    vectors = torch.randint(3, (7, 4), generator=generator).float()
    owners = torch.cat([PrototypeLayer.class_major(2, 3), torch.zeros(1, 3, dtype=torch.bool)])
    model = Whole(vectors, owners, (12, 14))
    count_usage(model, batches(images, labels, size, data.draw(st.permutations(range(11)))))
    distances = (images.flatten(1)[:, None] - vectors).square().sum(2)
    most = [0] * 7
    own = [0] * 6 + [-1]
    for row, label in zip(distances.tolist(), labels.tolist(), strict=True):
        most[row.index(min(row))] += 1
        of_class = [2 * label, 2 * label + 1]
        own[min(of_class, key=lambda j, row=row: row[j])] += 1
    prototypes = model.prototypes
    assert prototypes.activations.tolist() == most
    assert prototypes.own_activations.tolist() == own
    assert prototypes.mean_similarity.tolist() == pytest.approx((-distances).mean(0).tolist(), rel=1e-5)
    for j in range(7):
        candidates = [i for i, label in enumerate(labels.tolist()) if j == 6 or owners[j, label]]
        if candidates:
            nearest = min(candidates, key=lambda i, j=j: (distances[i, j].item(), i))
            assert prototypes.source_index[j] == nearest
            assert prototypes.source_distance[j] == distances[nearest, j]
            assert prototypes.source_box[j].tolist() == [0, 0, 14, 12]
        else:
            assert prototypes.source_index[j] == -1
            assert prototypes.source_distance[j].isnan()


def test_patches_that_do_not_project_get_their_cell_as_box():
    images = torch.rand(6, 3, 4, 5, generator=torch.Generator().manual_seed(0))
    model = LookingGlass(images[[1, 4], :, 2:3, 3:4].clone(), PrototypeLayer.class_major(1, 2), (32, 40))
    model.traits = replace(model.traits, projects=False)
    count_usage(model, batches(images, torch.tensor([0, 0, 0, 1, 1, 1]), 4))
    assert model.prototypes.source_index.tolist() == [1, 4]
    expected = cell_boxes(torch.tensor([2 * 5 + 3] * 2), (4, 5), (32, 40))
    assert torch.equal(model.prototypes.source_box, expected)


def test_projected_prototypes_keep_their_provenance():
    images = torch.rand(4, 2, 3, 3)
    model = LookingGlass(torch.rand(2, 2, 1, 1), PrototypeLayer.class_major(1, 2), (12, 12))
    model.prototypes.source_index.fill_(7)
    count_usage(model, batches(images, torch.tensor([0, 1, 0, 1]), 4))
    assert model.prototypes.source_index.tolist() == [7, 7]
    assert model.prototypes.usage_counted
    assert model.prototypes.activations.sum() == 4


def test_models_without_images_or_prototypes_are_refused():
    model = LookingGlass(torch.rand(2, 2, 1, 1), PrototypeLayer.class_major(1, 2), (12, 12))
    with pytest.raises(UserError, match="no training images"):
        count_usage(model, [])
    spec = model.spec
    model = build("blackbox", {"encoder": "small"}, spec)
    with pytest.raises(UserError, match="no prototypes"):
        count_usage(model, [])


class Attributes(PrototypeModel):
    """Two attributes without vectors: the brightness of the left half and that of the right half."""

    name = "attributes"

    def __init__(self):
        super().__init__(MethodConfig(), ModelSpec(("left", "right"), ImageSpec(4, 4, 1, (0.0,), (1.0,))))
        self.prototypes = ScalarPrototypes(torch.eye(2))

    def latents(self, images):
        return torch.stack([images[..., :2].mean((1, 2, 3)), images[..., 2:].mean((1, 2, 3))], dim=1)

    def head(self, latents):
        return Output(latents, latents, latents)


def test_attributes_without_vectors_come_from_the_image_in_which_they_are_strongest():
    pixels = np.zeros((5, 4, 4, 1), np.uint8)
    for index, (left, right) in enumerate([(90, 10), (200, 20), (200, 0), (30, 220), (0, 100)]):
        pixels[index, :, :2], pixels[index, :, 2:] = left, right
    source = ArraySource(pixels, np.array([0, 0, 0, 1, 1]), ("left", "right"))
    for batch_size in (1, 2, 5):
        model = Attributes()
        assert not model.prototypes.has_vectors
        count_usage(model, loader(ImageDataset(source, model.spec.image), batch_size))
        assert model.prototypes.source_index.tolist() == [1, 3]  # the first of equal ones
        assert model.prototypes.activations.tolist() == [3, 2]
        assert model.prototypes.source_distance.isnan().all()
        assert model.prototypes.source_box.tolist() == [[0, 0, 4, 4]] * 2


class Chosen(Attributes):
    """An image uses the attributes above one half; the first belongs to class 1, as training ends."""

    def used_prototypes(self, output):
        return output.similarities > 0.5

    def assign_owners(self):
        self.prototypes.owners.copy_(torch.tensor([[False, True], [False, False]]))


def test_a_model_says_itself_which_prototypes_an_image_uses():
    left, right = torch.tensor([0.9, 0.6, 0.2, 0.7]), torch.tensor([0.8, 0.1, 0.3, 0.9])
    images = torch.stack([left, left, right, right], dim=1)[:, None, None].expand(4, 1, 4, 4)
    model = Chosen()
    count_usage(model, batches(images, torch.tensor([0, 1, 0, 1]), 3))
    assert model.prototypes.activations.tolist() == [3, 2]
    assert model.prototypes.own_activations.tolist() == [2, -1]  # no class owns the second
    assert model.prototypes.source_index.tolist() == [3, 3]  # of its class's images, and of all
