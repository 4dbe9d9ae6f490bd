"""The prototype swap: against plain loops, over all methods with vectors, and with a model that stays as it is."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from audit.integrity.finished import finished
from cases import PROTOTYPE_VARIANTS
from models import make
from resemblance.audit.audit_runner import run_checks
from resemblance.audit.audited import AuditSubject
from resemblance.audit.integrity.nearest_swap import nearest_swap
from resemblance.audit.integrity.prototype_swap import QUANTILES, PrototypeSwapCheck
from resemblance.audit.integrity.swapped_model import RATE, retuned, retunes, with_vectors
from resemblance.data.sources.source import ArraySource
from resemblance.prototypes.vectors import VectorPrototypes
from tiny import same

RETUNED = ("protopnet", "protopool", "protopshare", "tesnet", "deformable")


def foreign_for(model, count=11):
    image = model.spec.image
    pixels = np.random.default_rng(9).integers(
        0, 256, (count, image.height, image.width, image.channels), np.uint8
    )
    return ArraySource(pixels, np.zeros(count, np.int64), ("thing",))


@pytest.mark.parametrize("name", PROTOTYPE_VARIANTS)
def test_every_method_with_vectors_is_swapped_and_stays_as_it_was(name):
    made = finished(name)
    before = copy.deepcopy(made.model)
    subject = made.subject(train=made.train, foreign=foreign_for(made.model))
    result = run_checks(subject, ("prototype-swap",))
    assert same(made.model, before)
    assert all(parameter.grad is None for parameter in made.model.parameters())
    assert [p.requires_grad for p in made.model.parameters()] == [
        p.requires_grad for p in before.parameters()
    ]
    if not isinstance(made.model.prototypes, VectorPrototypes):
        assert made.model.name in result.left_out[0].reason
        return
    [finding] = result.findings
    assert finding.values[0].name == "prototype_swap"
    assert finding.values[0].value in (0.0, *QUANTILES)
    assert (finding.value("prototype_swap_retuned") is not None) == name.startswith(RETUNED)
    assert len(finding.details["after"]) == (4 if name.startswith(RETUNED) else 2)
    assert len(finding.examples) == 2


def test_patches_are_the_nearest_ones_in_a_plain_loop():
    made = finished("protopnet")
    foreign = foreign_for(made.model)
    subject = made.subject(foreign=foreign)
    vectors = made.model.prototypes.vectors
    swap = nearest_swap(made.model, subject.batches(foreign), own=False)
    own = nearest_swap(made.model, subject.batches(made.train), own=True)
    with torch.no_grad():
        for source, result in ((foreign, swap), (made.train, own)):
            latents = made.model.latents(subject.read(range(len(source)), source).images)
            for k, vector in enumerate(vectors):
                best = (np.inf, -1, None)
                for n in range(len(source)):
                    if result is own and (
                        source.labels[n] != k // 2 or n == made.model.prototypes.source_index[k]
                    ):
                        continue
                    for patch in latents[n].flatten(1).T:
                        distance = float((patch - vector.flatten()).square().sum())
                        best = min(best, (distance, n, patch), key=lambda found: found[0])
                assert result.positions[k] == best[1]
                assert result.distances[k].item() == pytest.approx(best[0], rel=1e-4, abs=1e-9)
                assert torch.allclose(result.vectors[k].flatten(), best[2], atol=1e-5)


def test_accuracy_is_that_of_a_model_with_these_prototypes():
    made = finished("protopnet")
    foreign = foreign_for(made.model)
    subject = made.subject(foreign=foreign)
    [finding] = run_checks(subject, ("prototype-swap",)).findings
    swap = nearest_swap(made.model, subject.batches(foreign), own=False)
    order = swap.distances.argsort()
    images = subject.read(range(len(made.train)))
    with torch.no_grad():
        for quantile, measured in zip(
            QUANTILES, finding.details["after"]["foreign images, at once"], strict=True
        ):
            model = copy.deepcopy(made.model)
            for k in order[: int(np.ceil(quantile * len(order)))]:
                model.prototypes.vectors[k] = swap.vectors[k]
            right = (model(images.images).scores.argmax(dim=1) == images.labels).float().mean()
            assert measured == pytest.approx(float(right))


def test_prototypes_that_can_be_found_elsewhere_are_exchangeable():
    """Where the foreign images are the training images, each prototype is replaced by itself."""
    made = finished("protopnet")
    subject = made.subject(foreign=made.train)
    [finding] = run_checks(subject, ("prototype-swap",)).findings
    assert finding.values[0].value == 1
    assert finding.verdict == "failed"
    assert finding.cure


def test_retuning_is_an_epoch_of_adam_on_the_last_layer():
    made = finished("protopnet")
    subject = made.subject(foreign=foreign_for(made.model))
    batches = list(subject.batches(made.train))
    vectors = torch.rand_like(made.model.prototypes.vectors)
    swapped = with_vectors(made.model, vectors)
    assert not torch.equal(made.model.prototypes.vectors, vectors)
    [tuned] = retuned([swapped], batches)
    plain = copy.deepcopy(made.model)
    with torch.no_grad():
        plain.prototypes.vectors.copy_(vectors)
    optimizer = torch.optim.Adam(plain.last.parameters(), lr=RATE)
    for images, labels, _ in batches:
        optimizer.zero_grad()
        F.cross_entropy(plain(images).scores, labels).backward()
        optimizer.step()
    assert torch.allclose(tuned.last.weight, plain.last.weight, atol=1e-6)
    assert not torch.allclose(tuned.last.weight, made.model.last.weight)
    assert tuned.encoder is made.model.encoder
    assert retunes(made.model)
    assert not retunes(finished("kmex").model)


def test_without_labels_answers_are_compared_with_those_before():
    made = finished("kmex")
    subject = made.subject(foreign=foreign_for(made.model), train=made.train)
    subject.labelled = False
    [finding] = run_checks(subject, ("prototype-swap",)).findings
    assert finding.details["unchanged answers"] == 1
    assert any("classes of the images are not known" in note for note in finding.notes)


def test_models_and_images_that_do_not_suffice_are_named():
    black_box = make("blackbox", encoder="small")
    source = foreign_for(black_box)
    assert PrototypeSwapCheck.obstacle(AuditSubject("run", black_box, source)) == "blackbox has no prototypes"
    made = finished("kmex")
    assert PrototypeSwapCheck.obstacle(made.subject()) == "it needs images of other things: --foreign DATA"
