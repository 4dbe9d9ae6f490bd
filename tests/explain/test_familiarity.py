"""How familiar an image is: said first where it resembles nothing known, and answered where that is asked for."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

import resemblance
from cases import made
from resemblance.config.errors import UserError
from resemblance.core.conformal import Calibration
from resemblance.core.reference import Reference, SimilarityRange
from resemblance.core.reference_counts import ReferenceCounts
from resemblance.explain.explain import explain, explain_batch
from resemblance.explain.text import NO_BREAK
from resemblance.metrics.evaluation import evaluate
from tiny import digits
from toy_model import Distances, Nearest, Toy

IMAGE = torch.rand(3, 16, 16, generator=torch.Generator().manual_seed(3))


def with_reference(model, low, high, images=200, probabilities=(0.9, 0.5, 0.2), **options):
    """Give a model a reference: similarities evenly between two numbers."""
    known = SimilarityRange.of(np.linspace(low, high, images))
    classes = (SimilarityRange(0),) * 3
    model.reference = Reference(known, classes, Calibration.of(probabilities), **options)
    return model


def deciding(model):
    return explain(model, IMAGE).familiarity.similarity


@pytest.mark.parametrize("kind", [Toy, Nearest])
def test_the_similarity_is_read_against_its_reference(kind):
    model = kind()
    value = deciding(model)
    explanation = explain(with_reference(model, value - 1, value + 1), IMAGE)
    seen = explanation.familiarity
    assert seen.verdict == "familiar"
    own = model.prototypes.owners[seen.prototype].nonzero().flatten().tolist()
    assert own == [explanation.prediction]
    line = f"Similarity {value:.3f}; images classified correctly: {seen.low:.3f} to {seen.high:.3f}."
    assert (seen.low, seen.high) == pytest.approx((value - 0.9, value + 0.9), abs=1e-4)
    assert line in str(explanation).splitlines()[1].replace("−", "-")
    assert line in explanation._repr_html_().replace("−", "-")
    drawn = " ".join(text.get_text() for text in explanation.plot().texts).replace("−", "-")
    assert "images classified correctly:" in drawn
    assert explanation.to_dict()["familiarity"]["reference"]["images"] == 200
    json.dumps(explanation.to_dict())


def test_what_resembles_nothing_known_is_said_first():
    model = Toy()
    explanation = explain(with_reference(model, deciding(model) + 1, deciding(model) + 2), IMAGE)
    first = str(explanation).splitlines()[0].split(": ", 1)[1]
    assert first.startswith(f"resembles nothing the model knows; predicted {explanation.predicted} (")
    assert explanation._repr_html_().count("<b>Resembles nothing the model knows; predicted") == 1
    assert explanation.plot().texts[1].get_text().startswith("Resembles nothing the model knows")
    assert explanation.to_dict()["familiarity"]["verdict"] == "unfamiliar"
    assert not explanation.abstained


def test_distances_are_read_the_other_way_round():
    model = Distances()
    value = deciding(model)
    explanation = explain(with_reference(model, value - 0.2, value + 0.1), IMAGE)
    seen = explanation.familiarity
    assert (
        f"Distance² {-value:.3f}; images classified correctly: {-seen.high:.3f} to {-seen.low:.3f}."
        in str(explanation).replace("−", "-")
    )
    far = explain(with_reference(model, value + 1, value + 2), IMAGE, abstain_below=0.5)
    assert far.familiarity.unfamiliar
    assert "above" in str(far).splitlines()[0]


def test_a_class_with_enough_images_has_its_own_range():
    model = with_reference(Toy(), 5, 6)
    value = deciding(model)
    predicted = explain(model, IMAGE).prediction
    own = SimilarityRange.of(np.linspace(value - 1, value + 1, 150))
    ranges = tuple(own if c == predicted else SimilarityRange(0) for c in range(3))
    model.reference = Reference(model.reference.whole, ranges, model.reference.calibration)
    explanation = explain(model, IMAGE)
    assert explanation.familiarity.verdict == "familiar"
    assert f"images of {explanation.predicted} classified correctly" in str(explanation)


def test_without_a_reference_or_with_too_few_images_nothing_is_judged():
    explanation = explain(Toy(), IMAGE)
    assert explanation.familiarity.verdict == "no reference"
    assert "no reference stored" in str(explanation)
    few = explain(with_reference(Toy(), 5, 6, images=99), IMAGE)
    assert few.familiarity.verdict == "too few images"
    assert "too few images to judge it: 99 validation images" in str(few)
    model = Toy()
    model.prototypes.owners[:] = False
    assert explain(model, IMAGE).familiarity.verdict == "no similarity"


def test_abstention_below_a_quantile_is_an_answer():
    model = Toy()
    with_reference(model, deciding(model) - 1, deciding(model) + 1)  # the image is in the middle
    label = explain(model, IMAGE).prediction
    for quantile, abstains in ((0.0, False), (0.4, False), (0.6, True), (1.0, True)):
        explanation = explain(model, IMAGE, abstain_below=quantile, label=label)
        assert explanation.abstained == abstains
        assert explanation.correct is not abstains
    headline = str(explanation).splitlines()[0]
    assert "abstains: the image is too unfamiliar (similarity" in headline
    assert "predicted" not in headline
    assert "<b>Abstains: the image" in explanation._repr_html_()
    with_reference(model, deciding(model) + 1, deciding(model) + 2)
    below = str(explain(model, IMAGE, abstain_below=0.01)).splitlines()[0]
    assert "abstains: the image resembles nothing the model knows (similarity" in below


def test_a_set_of_classes_is_an_answer():
    model = Toy()
    with torch.no_grad():
        ranked = model.probabilities(model(IMAGE[None]).scores)[0].sort(descending=True)
    between = float(ranked.values[1] + ranked.values[2]) / 2
    with_reference(model, 0, 9, probabilities=[between] * 9 + [0.0] * 10)
    explanation = explain(model, IMAGE, conformal=0.45)
    names = [model.spec.classes[c] for c in ranked.indices.tolist()]
    assert explanation.answer_set.classes == tuple(names[:2])
    says = f"Set of classes that holds the true one with 45{NO_BREAK}%: {', '.join(names[:2])} (by 19 validation images"
    assert says in str(explanation)
    assert "exact only if the choice of the model did not see these images" in str(explanation)
    assert says in explanation._repr_html_()
    assert explanation.to_dict()["answer_set"]["classes"] == names[:2]
    everything = explain(model, IMAGE, conformal=0.99)
    assert set(everything.answer_set.classes) == set(names)
    assert "too few for this level" in str(everything)
    assert explain(model, IMAGE).answer_set is None
    none = explain(with_reference(model, 0, 9, probabilities=[1.0] * 99), IMAGE, conformal=0.5)
    assert none.answer_set.classes == ()
    assert "none: no class is as probable" in str(none)
    refitted = with_reference(model, 0, 9, before_refit=True)
    assert "not exact" in str(explain(refitted, IMAGE, conformal=0.5))


@pytest.mark.parametrize("options", [{"abstain_below": 0.01}, {"conformal": 0.9}])
def test_what_cannot_be_asked_for_is_refused(options):
    with pytest.raises(UserError, match="stores no similarities of validation images"):
        explain(Toy(), IMAGE, **options)
    [name] = options
    with pytest.raises(UserError, match=f"{name} must be between 0 and 1"):
        explain(with_reference(Toy(), 0, 1), IMAGE, **{name: 1.5})
    if name == "abstain_below":
        with pytest.raises(UserError, match=r"99 correctly classified validation images are too few"):
            explain(with_reference(Toy(), 0, 1, images=99), IMAGE, **options)
        model = Toy()
        model.reference = Reference(None, (), Calibration.of([0.5]))
        with pytest.raises(UserError, match="no similarity on which a prediction rests"):
            explain(model, IMAGE, **options)


@pytest.mark.parametrize("method", ["kmex", "protopnet"])
def test_noise_is_less_similar_than_known_images_and_a_folder_says_so(method, trained, tmp_path):
    model = trained(method).model
    images = digits(96, 600).val
    evaluation = evaluate(model, images, also=(counts := ReferenceCounts(model)))
    model.save(tmp_path / "model")
    copy = resemblance.load(tmp_path / "model")
    copy.reference = counts.result()
    copy.save(tmp_path / "model")
    loaded = resemblance.load(tmp_path / "model")
    assert loaded.reference == copy.reference
    assert loaded.reference.whole.images == round(evaluation.accuracy * 600)
    noise = torch.rand(40, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    strange = [e.familiarity.similarity for e in explain_batch(loaded, noise, maps="none")]
    if method == "kmex":  # this ProtoPNet is hardly trained
        assert np.median(strange) < loaded.reference.whole.at(0.25)


def test_an_ensemble_says_that_it_has_no_reference():
    from resemblance.methods.ensemble.model import make_ensemble

    models = [made("kmex", seed=seed).eval() for seed in (0, 1)]
    explanation = make_ensemble(models).explain(torch.rand(1, 16, 16))
    assert explanation.familiarity.verdict == "no reference"
