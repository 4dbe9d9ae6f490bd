"""Models with weights that are infinite or NaN are refused by all that answers, in one line, and on loading."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

import resemblance
from cases import METHODS, made
from resemblance.config.errors import UserError
from resemblance.core.classifier import Classifier
from resemblance.core.output import Output
from resemblance.core.prototype_model import PrototypeModel
from resemblance.data import ImageDataset, loader
from resemblance.explain.explain import explain_batch
from resemblance.metrics.ensemble import evaluate_ensemble
from resemblance.metrics.evaluation import evaluate
from resemblance.report.latent_space import embedded_images
from resemblance.runs.run import RunRecord
from resemblance.training.ends.usage import count_usage
from resemblance.training.engine.validation import validate
from tiny import digits


def first_weight(model: Classifier) -> tuple[str, nn.Parameter]:
    """Return the first parameter that the model's answer reads, which is that of its encoder where it has one."""
    return next(
        (name, p) for name, p in model.named_parameters() if p.numel() and not name.startswith("prototypes")
    )


def damaged(method: str, value: float = float("nan"), **settings: object) -> Classifier:
    model = made(method, **settings).eval()
    with torch.no_grad():
        first_weight(model)[1].view(-1)[0] = value
    return model


def refusal(call, *args, **options) -> str:
    with pytest.raises(UserError) as error:
        call(*args, **options)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("method", METHODS)
def test_nothing_is_measured_counted_or_explained_by_a_damaged_model(method):
    model, splits = damaged(method), digits(24, 12)
    images = loader(ImageDataset(splits.train, model.spec.image), 8)
    message = "scores for image #0 are infinite or NaN"
    assert message in refusal(evaluate, model, splits.val)
    assert message in refusal(evaluate_ensemble, [made(method).eval(), model], splits.val)
    assert "infinite or NaN: training has diverged" in refusal(validate, model, images, torch.device("cpu"))
    run = RunRecord("run", model)
    if isinstance(model, PrototypeModel):
        kept = copy.deepcopy(model.prototypes.activations)
        assert "infinite or NaN: training has diverged" in refusal(count_usage, model, images)
        assert torch.equal(model.prototypes.activations, kept)
        assert "not finite" in refusal(explain_batch, model, [splits.val.read(0)])
        if model.prototypes.has_vectors:
            assert "run: embeddings of images or prototypes are infinite or NaN" in refusal(
                embedded_images, run, splits.val, 10, 0, "pca"
            )


@pytest.mark.parametrize("inference", ["sample_max", "greedy"])
def test_a_tree_of_nan_reaches_a_leaf_and_is_refused_all_the_same(inference):
    model, splits = damaged("prototree", inference=inference), digits(24, 12)
    assert model(torch.rand(2, 1, 16, 16)).scores.isfinite().all()
    assert "are infinite or NaN" in refusal(evaluate, model, splits.val)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_damaged_tensor_of_a_model_folder_is_named(method, value, tmp_path):
    model = damaged(method, value)
    model.save(tmp_path / "model")
    name, weight = first_weight(model)
    message = refusal(resemblance.load, tmp_path / "model")
    assert f"model: 1 of {weight.numel()} values of {name} are infinite or NaN" in message


@pytest.mark.parametrize("method", METHODS)
def test_what_is_unknown_may_be_nan(method, tmp_path):
    """An untrained model knows no source images and no mean contributions."""
    made(method).save(tmp_path / "model")
    loaded = resemblance.load(tmp_path / "model")
    if isinstance(loaded, PrototypeModel):
        assert loaded.prototypes.source_distance.isnan().all()


def test_other_buffers_must_be_finite(tmp_path):
    model = made("protopnet")
    model.prototypes.mean_similarity[1] = torch.nan
    model.save(tmp_path / "model")
    message = refusal(resemblance.load, tmp_path / "model")
    count = len(model.prototypes)
    assert f"1 of {count} values of prototypes.mean_similarity are infinite or NaN" in message


def test_finite_rows_of_an_output():
    def rows(
        scores: list[list[float]], similarities: list[list[float]], latents: list[list[float]]
    ) -> list[bool]:
        output = Output(torch.tensor(scores), torch.tensor(similarities), torch.tensor(latents))
        return output.finite.tolist()

    nan, inf = float("nan"), float("inf")
    ones = [[1.0, 1.0]] * 3
    assert rows(ones, ones, ones) == [True, True, True]
    assert rows([[1, 2], [1, nan], [-inf, 0]], ones, ones) == [True, False, False]
    assert rows(ones, [[0, nan], [0, inf], [0, 1]], ones) == [False, True, True]
    assert rows(ones, ones, [[0, nan], [0, inf], [0, 1]]) == [False, False, True]
