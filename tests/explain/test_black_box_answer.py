"""Test the answer of the black box beside an explanation."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from models import batch, make, noise_for
from resemblance.config.runs import ConvertOptions
from resemblance.convert.original import open_original
from resemblance.core.conformal import Calibration
from resemblance.core.model_encoder import ModelEncoder
from resemblance.core.reference import Reference, SimilarityRange
from resemblance.data import DataSplits
from resemblance.data.dataset import ImageDataset
from resemblance.data.loader import loader
from resemblance.explain.explain import explain, explain_batch
from resemblance.explain.rounding import NO_BREAK
from resemblance.methods.ensemble.model import make_ensemble
from resemblance.methods.kmex.config import KMExConfig
from resemblance.methods.kmex.model import KMEx
from resemblance.training.ends.usage import count_usage


def used(model):
    count_usage(model, loader(ImageDataset(noise_for(model), model.spec.image), 8))
    return model.eval()


@pytest.fixture(scope="module", params=[False, True], ids=["whole", "patches"])
def kmex(request):
    return used(make("kmex", encoder="small", patches=request.param))


def answered(agrees, **options):
    """Explain an image beside a classifier that says one class for every image, with a probability of e/(e + 2)."""
    model = used(make("kmex", encoder="small"))
    image = batch(model, 1)[0]
    with torch.no_grad():
        predicted = int(model(image).scores.argmax(1))
        model.encoder.classifier.weight.zero_()
        model.encoder.classifier.bias.zero_()
        model.encoder.classifier.bias[predicted if agrees else (predicted + 1) % 3] = 1
    known = SimilarityRange.of(np.linspace(5, 6, 200))  # a cosine similarity is lower
    model.reference = Reference(known, (SimilarityRange(0),) * 3, Calibration.of([0.5]))
    return explain(model, image[0], maps="none", **options)


def test_the_answer_is_that_of_the_trained_head(kmex):
    images, _ = batch(kmex, 5)
    with torch.no_grad():
        logits = kmex.encoder(kmex.normalize(images))
        predicted = kmex(images).scores.argmax(1)
    explanations = explain_batch(kmex, images, maps="none")
    probabilities = logits.softmax(1)
    for row, explanation in enumerate(explanations):
        answer = explanation.black_box
        assert answer.prediction == int(logits[row].argmax())
        assert answer.predicted == kmex.spec.classes[answer.prediction]
        assert answer.probability == pytest.approx(float(probabilities[row].max()), abs=1e-5)
        assert answer.agrees == (answer.prediction == int(predicted[row]))


def test_the_order_of_the_outputs_is_that_of_the_classes(kmex):
    images, _ = batch(kmex, 3)
    before = [one.black_box.prediction for one in explain_batch(kmex, images, maps="none")]
    try:
        kmex.outputs.copy_(torch.tensor([1, 2, 0]))  # class 0 is output 1
        after = [one.black_box.prediction for one in explain_batch(kmex, images, maps="none")]
    finally:
        kmex.outputs.copy_(torch.arange(3))
    assert after == [{0: 2, 1: 0, 2: 1}[c] for c in before]


def test_one_forward_pass_answers_for_both(kmex):
    calls = []
    handle = kmex.encoder.classifier.register_forward_hook(lambda *_: calls.append(1))
    explain_batch(kmex, batch(kmex, 4)[0], maps="none")
    handle.remove()
    assert len(calls) == 1


def test_text_figure_page_and_json_show_it_and_warn_where_they_differ():
    agreeing, differing = answered(True), answered(False)
    name, own = differing.black_box.predicted, differing.predicted
    assert name != own
    text = str(differing).replace(NO_BREAK, " ")
    assert f"; the original classifier says {name} (probability" in text.splitlines()[0]
    warning = f"not {own}: the reasons shown are not the reasons for its answer."
    assert f"Warning: The original classifier says {name} (probability " in text
    assert warning in text
    assert any(warning in sentence for sentence in differing.warnings)
    assert warning in differing._repr_html_()
    drawn = " ".join(text.get_text() for text in differing.plot().texts)
    assert "! The original classifier says" in drawn

    same = agreeing.black_box.predicted
    assert f"the original classifier says {same}, too (probability 58 %)" in str(agreeing).replace(
        NO_BREAK, " "
    )
    assert not any("original classifier" in sentence for sentence in agreeing.warnings)
    assert f"the original classifier says {same}, too" in agreeing._repr_html_()
    drawn = " ".join(text.get_text() for text in agreeing.plot().texts)
    assert f"The original classifier says {same}, too" in drawn

    document = json.loads(json.dumps(differing.to_dict(), allow_nan=False))
    assert document["black_box"] == {
        "prediction": name,
        "prediction_index": differing.black_box.prediction,
        "probability": pytest.approx(np.e / (np.e + 2), abs=1e-6),
        "agrees": False,
    }


def test_a_model_that_abstains_neither_agrees_nor_differs():
    for agrees in (True, False):
        explanation = answered(agrees, abstain_below=0.5)
        assert explanation.abstained
        assert explanation.black_box.agrees is None
        name = explanation.black_box.predicted
        drawn = " ".join(text.get_text() for text in explanation.plot().texts)
        for text in (str(explanation), explanation._repr_html_(), drawn):
            assert f"original classifier says {name} (probability" in text
        assert not any("original classifier" in sentence for sentence in explanation.warnings)


def test_class_names_are_escaped_in_pages():
    model = make("kmex", encoder="small")
    names = ("<h7>", "<em>", "<u>")
    object.__setattr__(model.spec, "classes", names)
    fragment = explain(used(model), batch(model, 1)[0][0], maps="none")._repr_html_()
    assert "the original classifier says &lt;" in fragment
    assert not [name for name in names if name in fragment]


@pytest.mark.parametrize("base", ["prototree", "pipnet", "protopnet"])
def test_a_converted_prototype_model_gives_its_own_probabilities(base):
    inner = make(base, encoder="small").eval()
    splits = DataSplits(noise_for(inner), noise_for(inner), None, inner.spec.classes, "noise")
    original = open_original(inner, splits, ConvertOptions())
    assert isinstance(original.encoder, ModelEncoder)
    model = used(KMEx(KMExConfig(**original.settings), original.spec, original.encoder).eval())
    images, _ = batch(inner, 4)
    with torch.no_grad():
        expected = inner.probabilities(inner(images).scores)
    for row, explanation in enumerate(explain_batch(model, images, maps="none")):
        assert explanation.black_box.prediction == int(expected[row].argmax())
        assert explanation.black_box.probability == pytest.approx(float(expected[row].max()), abs=1e-5)


def test_without_a_classifier_nothing_is_shown():
    headless = make("kmex", encoder="small")
    headless.encoder.drop_head()
    kmex = used(make("kmex", encoder="small"))
    for model in (used(headless), make("protopnet", encoder="small").eval(), make_ensemble([kmex, kmex])):
        explanation = explain(model, torch.rand(1, 28, 28), maps="none")
        assert explanation.black_box is None
        assert explanation.to_dict()["black_box"] is None
        assert "original classifier" not in str(explanation) + explanation._repr_html_()
