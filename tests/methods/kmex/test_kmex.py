"""KMEx against plain re-implementations of the paper's formulas."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from contract_checks import assert_evidence
from resemblance.config.errors import UserError
from resemblance.config.image import ImageSpec
from resemblance.config.model import ModelSpec
from resemblance.methods.kmex.model import largest_by_class, vote_contributions
from resemblance.methods.registry import build
from resemblance.prototypes.layer import PrototypeLayer


def spec_of(classes=3, size=28, channels=1):
    image = ImageSpec(size, size, channels, (0.5,) * channels, (0.25,) * channels)
    return ModelSpec(tuple(f"class {c}" for c in range(classes)), image)


def make(classes=3, **config):
    torch.manual_seed(0)
    model = build("kmex", {"encoder": "small", "prototypes_per_class": 2, **config}, spec_of(classes)).eval()
    with torch.no_grad():  # prototypes where the embeddings are
        latents = model.latents(torch.rand(64, 1, 28, 28))
        rows = latents.transpose(0, 1).flatten(1).T if model.traits.maps else latents
        chosen = rows[torch.arange(len(model.prototypes)) * 7 % len(rows)]
        model.prototypes.vectors.copy_(chosen.reshape(model.prototypes.vectors.shape))
        model.prototypes.vectors.add_(0.01 * torch.randn_like(model.prototypes.vectors))
    return model


def assert_adds_up(model, output):
    assert_evidence(model, output, classes=range(model.spec.num_classes))


@pytest.mark.parametrize("variant", ["paper", "released"])
def test_whole_images_agree_with_a_plain_re_implementation(variant):
    model, images = make(variant=variant), torch.rand(5, 1, 28, 28)
    with torch.no_grad():
        output = model(images)
        embeddings = model.latents(images).double().numpy()
    vectors = model.prototypes.vectors.double().numpy()
    for b, z in enumerate(embeddings):
        scores = [0.0] * 3
        for k, p in enumerate(vectors):
            d = sum((z - p) ** 2)
            d = math.sqrt(d) if variant == "released" else d
            s = math.log((d + 1) / (d + 1e-4))
            assert output.similarities[b, k].item() == pytest.approx(s, rel=1e-4)
            scores[k // 2] = max(scores[k // 2], s)
        assert output.scores[b].tolist() == pytest.approx(scores, rel=1e-4)
        nearest = np.argmin(((vectors - z) ** 2).sum(1))
        assert output.scores[b].argmax().item() == nearest // 2


def test_patches_vote_as_in_a_plain_re_implementation():
    model, images = make(patches=True), torch.rand(4, 1, 28, 28)
    with torch.no_grad():
        output = model(images)
        maps = model.latents(images).double().numpy()
    vectors = model.prototypes.vectors.double().flatten(1).numpy()
    for b, z in enumerate(maps):
        votes, won = np.zeros(6), np.zeros(6)
        for y in range(z.shape[1]):
            for x in range(z.shape[2]):
                squared = ((vectors - z[:, y, x]) ** 2).sum(1)
                k = squared.argmin()
                votes[k] += 1
                won[k] += math.log((squared[k] + 1) / (squared[k] + 1e-4))
        expected = votes + won / (won.sum() + 1)
        assert output.extras["contributions"][b].tolist() == pytest.approx(expected.tolist(), abs=1e-3)
        assert output.scores[b].tolist() == pytest.approx(expected.reshape(3, 2).sum(1).tolist(), abs=1e-3)
        assert votes.sum() == z.shape[1] * z.shape[2]


@pytest.mark.parametrize("classes", [2, 10, 300])
@pytest.mark.parametrize("patches", [False, True])
@pytest.mark.parametrize("batch", [1, 3])
def test_contributions_add_up_to_every_score(classes, patches, batch):
    model = make(classes, patches=patches)
    with torch.no_grad():
        assert_adds_up(model, model(torch.rand(batch, 1, 28, 28)))


@pytest.mark.parametrize("patches", [False, True])
def test_a_class_without_prototypes_scores_nothing_and_never_wins(patches):
    model = make(patches=patches)
    owned = model.prototypes.owners[:, 1]
    model.keep((~owned).nonzero().flatten())
    with torch.no_grad():
        output = model(torch.rand(20, 1, 28, 28))
    assert (output.scores[:, 1] == 0).all()
    assert not (output.scores.argmax(1) == 1).any()
    assert (model.evidence(output, torch.ones(20, dtype=torch.int64)).contributions == 0).all()
    assert_adds_up(model, output)


def test_distant_images_are_still_ordered():
    """In float32, (d² + 1) / (d² + ε) is 1 above 10⁷; computed by log1p, the nearer class still wins."""
    model = make(2, prototypes_per_class=1)
    with torch.no_grad():
        model.prototypes.vectors.zero_()
        model.prototypes.vectors[:, 0] = torch.tensor([1.0, 2.0])
        for scale in (1e1, 1e3, 1e5):
            latents = torch.zeros(1, model.encoder.embedding)
            latents[0, 0] = 100 * scale
            model.prototypes.vectors[:, 0] = torch.tensor([1.0, 2.0]) * scale
            scores = model.head(latents).scores[0]
            assert scores[1] > scores[0] > 0


def test_of_equally_near_classes_the_first_wins():
    model = make(3, prototypes_per_class=1)
    with torch.no_grad():
        model.prototypes.vectors.copy_(torch.ones_like(model.prototypes.vectors))
        scores = model.head(torch.zeros(1, model.encoder.embedding)).scores
    assert scores[0, 0] == scores[0, 1] == scores[0, 2]
    assert scores.argmax().item() == 0


def test_with_equal_votes_the_larger_similarity_wins():
    nearest = torch.tensor([[0, 0, 1, 1]])
    first = vote_contributions(nearest, torch.tensor([[1.0, 1.0, 2.0, 2.0]]), 3)
    assert first.tolist() == [[pytest.approx(2 + 2 / 7), pytest.approx(2 + 4 / 7), 0.0]]
    assert vote_contributions(nearest, torch.zeros(1, 4), 3).argmax().item() == 0


def test_the_votes_outweigh_any_similarity():
    nearest = torch.tensor([[0, 0, 1]])
    scores = vote_contributions(nearest, torch.tensor([[1e-6, 1e-6, 9.0]]), 2)
    assert scores.argmax().item() == 0


def test_largest_by_class():
    similarities = torch.tensor([[1.0, 3.0, 2.0], [5.0, 4.0, 6.0]])
    assert largest_by_class(similarities, torch.tensor([0, 0, 2]), 4).tolist() == [[3, 0, 2, 0], [5, 0, 6, 0]]


def test_similarity_on_a_prototype_and_its_gradient_are_finite():
    for variant in ("paper", "released"):
        model = make(variant=variant)
        latents = model.prototypes.vectors[:1].clone().requires_grad_()
        output = model.head(latents)
        assert output.similarities[0, 0].item() == pytest.approx(-math.log(1e-4), rel=1e-4)
        output.scores.sum().backward()
        assert latents.grad.isfinite().all()


def test_patches_have_maps_whose_best_cell_is_the_similarity():
    model = make(patches=True)
    with torch.no_grad():
        output = model(torch.rand(2, 1, 28, 28))
        maps = model.prototypes.maps(output.latents)
    assert maps.shape == (2, 6, 7, 7)
    assert torch.allclose(maps.flatten(2).amax(2), output.similarities)


def test_votes_have_a_gradient():
    model, images = make(patches=True), torch.rand(2, 1, 28, 28, requires_grad=True)
    model(images).scores.amax(1).sum().backward()
    assert images.grad.abs().sum() > 0


def test_the_original_classifiers_logits_are_in_the_output():
    model, images = make(), torch.rand(2, 1, 28, 28)
    with torch.no_grad():
        expected = model.encoder(model.normalize(images))
        assert torch.allclose(model(images).extras["blackbox"], expected, atol=1e-6)
        model.outputs.copy_(torch.tensor([2, 0, 1]))
        assert torch.allclose(model(images).extras["blackbox"], expected[:, [2, 0, 1]], atol=1e-6)


def test_epochs_are_selected_by_the_classifier_until_there_are_prototypes():
    model = make()
    with torch.no_grad():
        output = model(torch.rand(2, 1, 28, 28))
    assert model.selection_scores(output) is output.extras["blackbox"]
    model.prototypes.activations.zero_()
    assert model.selection_scores(output) is output.scores


def test_a_whole_model_can_be_the_encoder():
    spec = spec_of()
    torch.manual_seed(0)
    base = build("protopnet", {"encoder": "small", "prototype_depth": 8}, spec).eval()
    config = {"encoder": "small", "prototype_depth": 8}
    settings = {"method": "protopnet", "config": config, "spec": spec.to_dict()}
    plain = ModelSpec(spec.classes, ImageSpec(28, 28, 1, (0.0,), (1.0,)))
    for patches in (False, True):
        config = {"encoder": "small", "base": settings, "patches": patches}
        model = build("kmex", config, plain).eval()
        model.encoder.model.load_state_dict(base.state_dict())
        images = torch.rand(2, 1, 28, 28)
        with torch.no_grad():
            output, expected = model(images), base(images)
        assert torch.equal(output.extras["blackbox"], expected.scores)
        latents = expected.latents if patches else expected.latents.mean((2, 3))
        assert torch.allclose(output.latents, latents)
        again = build("kmex", config, plain, tensors=model.state_dict())
        again.load_state_dict(model.state_dict())


def test_a_vision_transformer_embeds_by_its_class_token():
    torch.manual_seed(0)
    spec = spec_of(size=64, channels=3)
    for patches, shape in ((False, (2, 192)), (True, (2, 192, 4, 4))):
        model = build("kmex", {"encoder": "vit_tiny", "patches": patches}, spec).eval()
        with torch.no_grad():
            output = model(torch.rand(2, 3, 64, 64))
        assert output.latents.shape == shape
        assert output.extras["blackbox"].shape == (2, 3)
        assert_adds_up(model, output)


def test_a_coarse_map_is_refused_for_patches_only():
    config = {"encoder": "resnet18", "stem": "standard"}
    assert not build("kmex", config, spec_of(size=32)).traits.maps
    with pytest.raises(UserError, match="--stem small"):
        build("kmex", config | {"patches": True}, spec_of(size=32))


def test_impossible_settings_are_refused():
    for config in ({"prototypes_per_class": 0}, {"n_init": 0}, {"subset": 1}):
        with pytest.raises(UserError):
            make(**config)


def test_prototypes_can_be_dropped():
    model = make()
    model.keep(torch.tensor([0, 3]))
    assert len(model.prototypes) == 2
    with torch.no_grad():
        assert_adds_up(model, model(torch.rand(2, 1, 28, 28)))
    assert isinstance(model.prototypes, PrototypeLayer)
