"""The contract also fits kinds of prototypes that no method of the library has: occurrence maps and sub-patches."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

from contract_checks import assert_contract
from core_models import DEPTH, Occurrence, SubPatches, SubPatchPrototypes
from resemblance.data import ArraySource, ImageDataset, loader
from resemblance.prototypes.geometry import InnerProduct
from resemblance.training.ends.actions import ActionContext, run
from resemblance.training.ends.gallery import build_gallery
from resemblance.training.ends.projection import project
from resemblance.training.ends.usage import count_usage

KINDS = [Occurrence, SubPatches]
both = pytest.mark.parametrize("kind", KINDS)


def made(kind, **settings):
    torch.manual_seed(0)
    return kind(**settings).eval()


def source_of(model, count=18):
    image = model.spec.image
    pixels = np.random.default_rng(0).integers(0, 256, (count, *image.size, image.channels), dtype=np.uint8)
    return ArraySource(pixels, np.arange(count) % model.spec.num_classes, model.spec.classes)


def batches(model, source, size=7):
    return list(loader(ImageDataset(source, model.spec.image), size))


@both
@pytest.mark.parametrize(("classes", "size", "channels"), [(2, 20, 1), (3, 23, 3), (12, 32, 1)])
def test_contract(kind, classes, size, channels):
    model = made(kind, classes=classes, size=size, channels=channels)
    images = torch.rand(4, channels, size, size)
    assert_contract(model, images, maps_hold_similarities=False)
    for action in model.recipe().stages[-1].end:
        run(action, model, ActionContext(train=source_of(model), batch_size=8))
    assert_contract(model, images, maps_hold_similarities=False)


@both
def test_projection_selects_the_most_similar_image_and_a_second_one_moves_nothing(kind):
    model = made(kind)
    source = source_of(model)
    images = torch.cat([batch.images for batch in batches(model, source)])
    with torch.no_grad():
        similarities = model(images).similarities
    owned = model.prototypes.owners.T[torch.from_numpy(source.labels)]
    expected = similarities.masked_fill(~owned, -torch.inf).argmax(dim=0)
    report = project(model, batches(model, source))
    assert model.prototypes.source_index.tolist() == expected.tolist()
    assert report.largest_moved > 0
    projected = model(images).similarities[expected, torch.arange(len(expected))]
    assert projected.tolist() == pytest.approx(
        [projected[0].item()] * len(projected), abs=1e-5
    )  # all at their largest
    before = copy.deepcopy(model.state_dict())
    again = project(model, batches(model, source, size=5))
    assert again.largest_moved == 0
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


@both
def test_usage_gallery_and_explanation(kind):
    model = made(kind)
    source = source_of(model)
    project(model, batches(model, source))
    count_usage(model, batches(model, source))
    assert model.prototypes.activations.sum() == len(source)
    model.gallery = build_gallery(model, source)
    explanation = model.explain(batches(model, source)[0].images[0], top=3)
    assert explanation.located
    assert len(explanation.reasons) == 3
    assert sum(
        reason.contribution for reason in model.explain(source.read(0), top=None).reasons
    ) == pytest.approx(explanation.scores[explanation.prediction], rel=1e-4)
    assert explanation.reasons[0].prototype.picture is not None
    explanation.plot()


def test_each_sub_patch_has_a_box_and_a_flag_whether_it_is_on():
    model = made(SubPatches)
    model.prototypes.slots[1, 0] = -0.1
    latents = model.latents(torch.rand(3, 1, 20, 20))
    places = model.prototypes.at(latents, torch.tensor([2, 0]), torch.tensor([1, 4]))
    assert places.boxes.shape == (2, 2, 4)
    assert places.present.tolist() == [[False, True], [True, True]]
    widths = places.boxes[..., 2:] - places.boxes[..., :2]
    assert torch.allclose(widths, torch.full_like(widths, 1 / 5))
    assert places.vectors.shape == (2, DEPTH, 2)
    assert torch.equal(
        places.vectors[0, :, 0], model.prototypes.vectors[1, :, 0]
    )  # a sub-vector that is off stays


def test_greedy_matching_has_the_fact_sheets_values():
    """3×3 cells: sub-vector 1 has .9 at cell 0 and .6 at 4; sub-vector 2 has .95 at 8, .5 at 1, .3 at 4."""
    cosines = torch.zeros(1, 1, 2, 9)
    cosines[0, 0, 0, [0, 4]] = torch.tensor([0.9, 0.6])
    cosines[0, 0, 1, [8, 1, 4]] = torch.tensor([0.95, 0.5, 0.3])
    layer = SubPatchPrototypes(torch.rand(1, 2, 2), torch.ones(1, 2))
    values, cells = layer.picks(cosines.reshape(1, 1, 2, 3, 3))
    assert cells.tolist() == [[[4, 8]]]
    assert layer.pooled(values).item() == pytest.approx(1.55, abs=1e-4)
    layer.slots[0, 1] = -0.1
    assert layer.pooled(values).item() == pytest.approx(1.2, abs=1e-3)


def test_an_occurrence_patch_is_the_weighted_sum_of_the_features():
    model = made(Occurrence)
    latents = model.latents(torch.rand(2, 1, 20, 20))
    features, maps = model.prototypes.split(latents)
    places = model.prototypes.at(latents, torch.tensor([1]), torch.tensor([3]))
    plain = sum(maps[1, 3, y, x] * features[1, :, y, x] for y in range(5) for x in range(5))
    assert torch.allclose(places.vectors[0], plain, atol=1e-5)
    cosine = torch.nn.functional.cosine_similarity(plain, model.prototypes.vectors[3], dim=0)
    assert -places.values[0].item() == pytest.approx(cosine.item(), abs=1e-6)
    assert InnerProduct(True, True).measure(plain, plain).item() == pytest.approx(-1)
