"""The contract that every model must keep, whatever its method and state."""

from __future__ import annotations

import torch

from resemblance.core.classifier import Classifier
from resemblance.core.prototype_model import PrototypeModel


def assert_probabilities(model: Classifier, scores: torch.Tensor) -> None:
    """Check that probabilities sum to 1 and keep the order of the scores; scores that are probabilities stay."""
    probabilities = model.probabilities(scores)
    assert torch.allclose(probabilities.sum(dim=1), torch.ones(len(scores)), atol=1e-5)
    best = probabilities.gather(1, scores.argmax(dim=1, keepdim=True))[:, 0]
    assert torch.equal(best, probabilities.amax(dim=1))
    if model.traits.score_kind == "probability":
        assert torch.equal(probabilities, scores)


def assert_contract(model: Classifier, images: torch.Tensor, *, maps_hold_similarities: bool = True) -> None:
    """Check outputs, evidence, maps, losses and purity of ``model`` on ``images``.

    ``maps_hold_similarities``: the largest value of a map is the similarity.
    """
    model.eval()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    output = model(images)
    batch, classes = len(images), model.spec.num_classes
    assert output.scores.shape == (batch, classes)
    assert output.scores.dtype == torch.float32
    assert output.scores.isfinite().all()
    assert_probabilities(model, output.scores)
    one = model(images[:1])
    assert torch.allclose(one.scores, output.scores[:1], rtol=1e-3, atol=1e-3)
    assert_loss(model, output)
    assert_recipe(model)
    assert output.similarities.shape[0] == batch
    if isinstance(model, PrototypeModel):
        assert_evidence(model, output)
        assert output.similarities.shape == (batch, len(model.prototypes))
        assert output.similarities.isfinite().all()
        match = model.prototypes.match(output.latents)
        assert match.values.shape == match.cells.shape == output.similarities.shape
    if model.traits.maps:
        assert_maps(model, output, maps_hold_similarities)
    if model.traits.decodes:
        decoded = model.decode(model.prototypes.vectors)
        assert decoded.shape == (len(model.prototypes), *images.shape[1:])
        assert decoded.min() >= 0
        assert decoded.max() <= 1
    if model.traits.differentiable:
        assert_gradient(model, images)
    after = model.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name].nan_to_num(), after[name].nan_to_num()) for name in before)


def assert_evidence(model: PrototypeModel, output, classes=None) -> None:
    """Contributions and bias add up to the scores of the predicted, the first and the last class, or of ``classes``."""
    batch, count = output.scores.shape
    if classes is None:
        classes = (0, count - 1)
        assert_adds_up(model, output, output.scores.argmax(1))
    for index in classes:
        assert_adds_up(model, output, torch.full((batch,), index))


def assert_adds_up(model: PrototypeModel, output, classes: torch.Tensor) -> None:
    """The sum is off by at most 1e-5 × (Σ|contributions| + |bias|)."""
    evidence = model.evidence(output, classes)
    assert len(evidence.prototypes) == evidence.contributions.shape[1]
    contributions, bias = evidence.contributions.double(), evidence.bias.double()
    errors = contributions.sum(1) + bias - output.scores.gather(1, classes[:, None]).squeeze(1)
    assert (errors.abs() <= 1e-5 * (contributions.abs().sum(1) + bias.abs())).all()


def assert_maps(model: PrototypeModel, output, hold_similarities: bool) -> None:
    """The best cell of a map has the similarity that counted, unless cells vote."""
    maps = model.prototypes.maps(output.latents)
    assert maps.shape[:2] == output.similarities.shape
    if hold_similarities and model.traits.score_kind != "votes":
        assert torch.allclose(maps.flatten(2).amax(2), output.similarities, rtol=1e-4, atol=1e-4)


def assert_loss(model: Classifier, output) -> None:
    """The terms are named scalars with a finite sum."""
    labels = torch.arange(len(output.scores)) % model.spec.num_classes
    terms = model.loss(output, labels)
    assert terms
    assert all(term.dim() == 0 for term in terms.values())
    assert sum(terms.values()).isfinite()


def assert_recipe(model: Classifier) -> None:
    """Stages name groups that exist; together the groups hold each parameter at most once."""
    groups = model.parameter_groups()
    for stage in model.recipe().stages:
        assert stage.groups.keys() <= groups.keys()
    parameters = [id(parameter) for group in groups.values() for parameter in group]
    assert len(parameters) == len(set(parameters))
    assert len({stage.name for stage in model.recipe().stages}) == len(model.recipe().stages)


def assert_gradient(model: Classifier, images: torch.Tensor) -> None:
    """The winning score has a gradient with respect to the image."""
    images = images.clone().requires_grad_()
    model(images).scores.amax(1).sum().backward()
    assert images.grad is not None
    assert images.grad.isfinite().all()
    model.zero_grad()
