"""Tests of every trained method: it resumes after an interruption, and is saved and loaded unchanged."""

from __future__ import annotations

import pytest
import torch

import resemblance
from cases import CASES, METHODS, OPTIONS, case_of, made, train
from resemblance.core.prototype_model import PrototypeModel
from stopping import Stop, stopping
from tiny import digits, same


def without_seconds(history):
    return [{key: value for key, value in row.items() if key != "seconds"} for row in history]


def test_every_method_has_a_case():
    for method in METHODS:
        case_of(method)


def test_every_case_has_a_method():
    for folder in CASES:
        assert folder in METHODS, f"tests/methods/{folder}/cases.py is the case of no registered method"


@pytest.mark.parametrize("method", METHODS)
def test_groups_have_each_trainable_parameter_once(method):
    model = made(method)
    grouped = [id(parameter) for group in model.parameter_groups().values() for parameter in group]
    assert len(grouped) == len(set(grouped))
    assert set(grouped) == {id(parameter) for parameter in model.parameters() if parameter.requires_grad}


@pytest.mark.parametrize("method", METHODS)
def test_a_stopped_run_resumes_to_the_same_bits(method, tmp_path, trained):
    """Stop in the middle of the run; training/engine/test_resume.py stops at all other points."""
    model, whole, writes = trained(method)
    with stopping(writes // 2), pytest.raises(Stop):
        train(made(method), tmp_path / "run", **OPTIONS)
    resumed = made(method, seed=1)  # a resumed run does not need the same start
    result = train(resumed, tmp_path / "run", **OPTIONS, resume=True)
    assert result.resumed == "resumed"
    assert same(resumed, model)
    assert resumed.facts == model.facts
    assert result.notes == whole.notes
    assert without_seconds(result.history) == without_seconds(whole.history)


@pytest.mark.parametrize("method", METHODS)
def test_a_trained_model_is_loaded_unchanged(method, tmp_path, trained):
    model = trained(method).model
    model.save(tmp_path / "model")
    loaded = resemblance.load(tmp_path / "model")
    assert loaded.name == method
    assert same(loaded, model)
    assert loaded.facts == model.facts
    assert loaded.spec == model.spec
    images = torch.rand(3, 1, 16, 16)
    with torch.no_grad():
        assert torch.equal(loaded(images).scores, model(images).scores)
    if isinstance(model, PrototypeModel):
        image = digits().val.read(0)
        assert loaded.explain(image).to_dict() == model.explain(image).to_dict()


@pytest.mark.parametrize("method", [method for method in METHODS if method != "kmex"])
def test_kmex_can_use_its_encoder(method, tmp_path, trained):
    """Its scores are in the output of KMEx, and the whole model is saved and loaded unchanged."""
    original = trained(method).model
    original.save(tmp_path / "model")
    images = digits(96, 40)
    run = resemblance.convert(
        tmp_path / "model", images, tmp_path / "run", prototypes_per_class=2, force=True
    )
    model = run.model
    model.save(tmp_path / "kmex")
    loaded = resemblance.load(tmp_path / "kmex")
    images = torch.rand(3, 1, 16, 16)
    with torch.no_grad():
        output = loaded(images)
        assert torch.equal(output.scores, model(images).scores)
        assert torch.allclose(output.extras["blackbox"], original(images).scores, atol=1e-5)
