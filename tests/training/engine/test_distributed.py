"""Two processes on the CPU against one."""

from __future__ import annotations

import pytest
import torch

from cases import METHODS, alike
from cases import train as train_case
from resemblance.config.errors import UserError
from resemblance.config.training import TrainConfig
from resemblance.core.distributed import alone, gather, world
from resemblance.core.prototype_model import PrototypeModel
from resemblance.training.engine.devices import find_accelerator
from resemblance.training.engine.fit import fit
from tiny import Group, LateReader, Recipe, Stage, TinyConfig, both, digits, make

STAGES = (
    Stage("warm", 1, {"head": Group(1e-2)}, end=("nudge",)),
    Stage("joint", 2, both(), select="best", end=("halve",), candidate=True),
    Stage("last", 1, {"head": Group(1e-3)}, candidate=True),
)


def train(run, **options):
    model = make(stages=STAGES, norm=False, dropout=0.0)
    result = fit(model, digits(), run, TrainConfig(seed=2, accelerator="cpu", progress=False, **options))
    return model, result


@pytest.mark.slow
@pytest.mark.parametrize(
    "remedies", [{}, {"adversarial": "fgsm", "jpeg_augment": 0.5}, {"refit_on_all": True}]
)
def test_two_processes_train_as_one(remedies, tmp_path):
    """This includes the batch-level term, which gathers, and end actions, which the first process runs."""
    one, first = train(tmp_path / "one", **remedies)
    two, second = train(tmp_path / "two", devices=2, **remedies)
    for (name, expected), actual in zip(one.named_parameters(), two.parameters(), strict=True):
        assert torch.allclose(expected, actual, atol=2e-6), name
    for expected, actual in zip(first.history, second.history, strict=True):
        for key in ("train/loss", "train/nearest", "val/accuracy", "val/loss"):
            assert expected.get(key) == pytest.approx(actual.get(key), abs=1e-5), key
    assert second.validation_accuracy == first.validation_accuracy
    assert second.notes == first.notes
    if remedies.get("refit_on_all"):
        known, other = first.reference.calibration, second.reference.calibration
        assert known.images == other.images == 100
        assert known.probabilities == pytest.approx(other.probabilities, abs=1e-5)


@pytest.mark.slow
def test_a_process_that_reads_late_reads_the_right_state(tmp_path):
    """Stages that only act write two states, one right after the other: all processes must read the same ones."""
    stages = (Stage("cut", 0, {}, end=("halve",)), Stage("last", 1, {"head": Group(1e-3)}))
    torch.manual_seed(0)
    model = LateReader(TinyConfig(norm=False, dropout=0.0), Recipe(stages, batch_size=64))
    fit(model, digits(), tmp_path / "run", TrainConfig(accelerator="cpu", progress=False, devices=2))
    assert len(model.prototypes) == 10


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "settings"), [*((method, {}) for method in METHODS), ("senn", {"variant": "released"})]
)
def test_two_processes_train_every_method_as_one(method, settings, tmp_path):
    """Train without batch norm, dropout and random draws, which differ between processes: only rounding remains.

    Adam makes full steps of gradients that are pure rounding errors: single numbers may differ, whole tensors hardly.
    """
    one, two = alike(method, **settings), alike(method, **settings)
    first = train_case(one, tmp_path / "one")
    second = train_case(two, tmp_path / "two", devices=2)
    assert one.facts == two.facts
    actual = two.state_dict()
    if isinstance(one, PrototypeModel):
        assert torch.equal(one.prototypes.owners, two.prototypes.owners)
    for name, expected in one.state_dict().items():
        if expected.is_floating_point() and "source_" not in name:
            assert (expected - actual[name]).nan_to_num(0).norm() <= 1e-3 * expected.nan_to_num(0).norm(), (
                name
            )
    for row, other in zip(first.history, second.history, strict=True):
        for key in row:
            if key.startswith(("train/", "val/")):
                assert row[key] == pytest.approx(other[key], rel=1e-3, abs=1e-6), (row["stage"], key)


def test_gather_is_the_identity_for_one_process():
    rows = torch.rand(3, 2, requires_grad=True)
    assert gather(rows) is rows
    assert world() == 1
    with alone():
        assert gather(rows) is rows


def test_models_that_cannot_be_sent_to_processes_are_refused(tmp_path):
    model = make()
    model.hook = lambda: None
    with pytest.raises(UserError, match="pickled"):
        fit(model, digits(), tmp_path / "run", TrainConfig(devices=2, accelerator="cpu", progress=False))


def test_accelerators_that_are_not_there_are_refused():
    if not torch.cuda.is_available():
        with pytest.raises(UserError, match="no GPU"):
            find_accelerator("gpu", 1)
    assert find_accelerator("cpu", 8) == "cpu"
