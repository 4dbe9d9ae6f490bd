"""The answer of a model as tensors: what the graph computes is what the model explains."""

from __future__ import annotations

from copy import deepcopy

import pytest
import torch

import resemblance
from cases import PROTOTYPE_VARIANTS
from resemblance.config.errors import UserError
from resemblance.core.deciding import deciding_similarity
from resemblance.core.prototype_model import PrototypeModel
from resemblance.export.answer_graph import AnswerGraph
from resemblance.methods.ensemble.model import make_ensemble
from test_contract import images_of, make


def answers(graph: AnswerGraph, images: torch.Tensor) -> dict[str, torch.Tensor]:
    return dict(zip(graph.names, graph(images), strict=True))


def close(values: torch.Tensor, expected: torch.Tensor) -> bool:
    """Equal but for the rounding of kernels, which with and without gradients are not the same."""
    return values.shape == expected.shape and bool(
        (values - expected).abs().max() <= 1e-5 * expected.abs().max()
    )


@pytest.mark.parametrize("variant", PROTOTYPE_VARIANTS)
def test_the_answer_is_that_of_the_model(variant):
    model = make(variant).eval()
    images = images_of(model, 5)
    graph = AnswerGraph(model)
    answer = answers(graph, images)
    with torch.no_grad():
        output = model(images)
        evidence = model.evidence(output, output.scores.argmax(1))
        maps = model.prototypes.maps(output.latents) if model.traits.maps else None
    assert close(answer["scores"], output.scores)
    assert close(answer["probabilities"], model.probabilities(output.scores))
    assert close(answer["similarities"], output.similarities)
    assert close(answer["contributions"], evidence.contributions)
    total = answer["contributions"].double().sum(1) + answer["bias"]
    size = answer["contributions"].abs().double().sum(1) + answer["bias"].abs()
    assert ((total - answer["scores"].amax(1)).abs() <= 1e-5 * size).all()
    assert len(graph.reasons) == answer["contributions"].shape[1]
    decides = deciding_similarity(model, output)
    assert ("deciding_similarity" in answer) == (decides is not None)
    if decides is not None:
        assert close(answer["deciding_similarity"], decides[0])
    assert ("maps" in answer) == model.traits.maps
    if maps is not None:
        assert close(answer["maps"], maps)


def test_the_model_is_not_changed():
    model = make("protopnet").train().double()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    graph = AnswerGraph(model)
    assert answers(graph, graph.example())["scores"].dtype == torch.float32
    assert model.training
    assert all(tensor.dtype in (torch.float64, torch.int64, torch.bool) for tensor in before.values())
    after = model.state_dict()
    assert all(torch.equal(before[name].nan_to_num(), after[name].nan_to_num()) for name in before)


def test_a_model_with_16_bit_weights_is_exported_with_32():
    model = make("kmex").eval()
    graph = AnswerGraph(deepcopy(model).half())
    assert all(tensor.dtype != torch.float16 for tensor in graph.state_dict().values())
    images = images_of(model, 2)
    with torch.no_grad():
        expected = model(images).scores
    assert (answers(graph, images)["scores"] - expected).abs().max() <= 0.05 * expected.abs().max()


def test_a_path_is_told_as_steps():
    graph = AnswerGraph(make("prototree"))
    paths = [graph.steps(reason) for reason in range(len(graph.reasons))]
    assert len(set(map(tuple, paths))) == len(paths)
    assert [path[-1][0] for path in paths] == graph.reasons.tolist()
    assert AnswerGraph(make("kmex")).steps(0) == []


def test_an_ensemble_has_maps_of_its_members():
    ensemble = make_ensemble([make("protopnet"), make("protopnet avg"), make("tesnet")])
    graph = AnswerGraph(ensemble)
    counts = [len(model.prototypes) for model in ensemble.models if isinstance(model, PrototypeModel)]
    assert [(entry.output, entry.first, entry.count) for entry in graph.maps] == [
        ("maps_0", 0, counts[0]),
        ("maps_2", counts[0] + counts[1], counts[2]),
    ]
    answer = answers(graph, images_of(ensemble, 3))
    assert answer["maps_2"].shape[1] == counts[2]


def test_broken_weights_are_refused():
    model = make("kmex")
    model.prototypes.vectors.fill_(torch.nan)
    with pytest.raises(UserError, match="the scores of this kmex are not finite"):
        AnswerGraph(model)


def test_a_model_without_reasons_is_refused(tmp_path):
    with pytest.raises(UserError, match="blackbox has no evidence to explain; convert it with"):
        resemblance.export(make("blackbox"), tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())
