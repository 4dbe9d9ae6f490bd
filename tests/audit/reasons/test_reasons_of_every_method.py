"""The checks of shown reasons on a small model of every method."""

from __future__ import annotations

from copy import deepcopy

import pytest
import torch

from audit.reasons.made_reasons import SIZE
from cases import METHODS, made
from dividing import helped_by_threads
from resemblance.audit.audit_runner import run_checks
from resemblance.audit.audited import AuditSettings, AuditSubject
from resemblance.core.prototype_model import PrototypeModel
from resemblance.data import ArraySource
from tiny import CLASSES, same

NAMES = ("nonsense", "other-prototype", "moved-map", "same-reasons", "triggers")


def noise(count, seed):
    array = torch.randint(256, (count, SIZE, SIZE, 1), generator=torch.Generator().manual_seed(seed))
    return ArraySource(array.to(torch.uint8).numpy(), torch.arange(count).numpy() % 10, CLASSES)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_is_examined_and_stays_as_it_was(method, tmp_path):
    model = made(method).train()
    before = deepcopy(model)
    trained = [parameter.requires_grad for parameter in model.parameters()]
    settings = AuditSettings(steps=2, attacked=3, batch_size=2, examples=1, eps=0.1, step=0.1)
    subject = AuditSubject(
        "run", model, noise(4, 0), labelled=False, settings=settings, foreign=noise(3, 1), data="noise"
    )
    result = run_checks(subject, NAMES, folder=tmp_path)

    assert model.training
    assert same(before, model)
    assert [parameter.requires_grad for parameter in model.parameters()] == trained
    assert all(parameter.grad is None for parameter in model.parameters())

    done, left_out = {one.check for one in result.findings}, {one.measure for one in result.left_out}
    assert done | left_out == set(NAMES)
    if isinstance(model, PrototypeModel) and model.traits.differentiable:
        assert left_out <= {"other-prototype"}
    else:
        assert done == {"nonsense", "triggers"}
    for finding in result.findings:
        assert finding.values[0].name == finding.check.replace("-", "_")
        for value in finding.values:
            assert not value.defined or not value.share or 0 <= value.value <= 1
        assert all(example.png.startswith(b"\x89PNG") for example in finding.examples)
    # What was recorded can be read again, and says the same.
    again = run_checks(subject, NAMES, folder=tmp_path)
    assert str(again.to_dict()) == str(result.to_dict())
    # Two devices find the same.
    with helped_by_threads():
        again = run_checks(subject, NAMES)
    assert str(again.to_dict()) == str(result.to_dict())
