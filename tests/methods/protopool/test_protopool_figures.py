"""ProtoPool's figures: they agree with the model, for few and many classes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from figure_checks import drawn, texts
from resemblance.config.image import ImageSpec
from resemblance.config.model import ModelSpec
from resemblance.data import ArraySource
from resemblance.explain.prototype_view import PrototypeView
from resemblance.methods.paper_figures import FigureInputs
from resemblance.methods.protopool.figures import figures
from resemblance.methods.protopool.sheets import class_figure, graph_figure, pair_figure, shared_figure
from resemblance.methods.registry import build
from resemblance.training.ends.actions import ActionContext, run
from resemblance.training.ends.gallery import build_gallery


def trained(classes, assigned, channels=1, **config):
    """Make a model whose slots hold these prototypes (C, K), projected onto noise."""
    names = tuple(f"class {c}" for c in range(classes))
    spec = ModelSpec(names, ImageSpec(28, 28, channels, (0.5,) * channels, (0.25,) * channels))
    torch.manual_seed(0)
    settings = {"encoder": "small", "prototype_depth": 8, "slots": len(assigned[0]), **config}
    model = build("protopool", settings, spec).eval()
    with torch.no_grad():
        model.slots.logits.copy_(F.one_hot(torch.tensor(assigned), len(model.prototypes)).float())
    pixels = np.random.default_rng(0).integers(0, 256, (2 * classes, 28, 28, channels), dtype=np.uint8)
    source = ArraySource(pixels, np.arange(2 * classes) % classes, names)
    for action in ("assign", "project"):
        run(action, model, ActionContext(source))
    model.gallery = build_gallery(model, source)
    images = torch.from_numpy(pixels[:4].transpose(0, 3, 1, 2)).float() / 255
    return model, FigureInputs(images, torch.arange(4) % classes, source)


def test_all_figures_agree_with_the_assignment():
    # Classes 1 and 2 share prototypes 2 and 3; class 0 has 0 and 1 alone.
    model, inputs = trained(3, [[0, 1, 1], [2, 3, 4], [3, 2, 5]], prototypes=6)
    by_title = figures(model, inputs)
    assert list(by_title) == [
        "Prototypes that classes share",
        "How many classes a prototype is in",
        "A class and its parts",
        "Two classes and what they share",
        "Classes that share prototypes",
        "Plain and focal similarity",
    ]
    assert all(drawn(part.figure) for part in by_title.values())
    shared = texts(by_title["Prototypes that classes share"].figure)
    assert "prototype 2, a part of 2 of 3 classes" in shared
    assert "class 1, class 2" in shared
    assert "6 prototypes; 2 of them" in by_title["How many classes a prototype is in"].caption
    bars = by_title["How many classes a prototype is in"].figure.axes[0].patches
    assert [bar.get_height() for bar in bars] == [4, 2]
    one = texts(by_title["A class and its parts"].figure)
    assert "class 0 and its parts" in one
    assert {"prototype 0", "prototype 1"} <= set(one)
    assert one.count("its own") == 2
    pair = texts(by_title["Two classes and what they share"].figure)
    assert {"class 1", "class 2", "shared by both"} <= set(pair)
    assert {f"prototype {j}" for j in (2, 3, 4, 5)} == {t for t in pair if t.startswith("prototype")}
    graph = by_title["Classes that share prototypes"].figure
    assert len(graph.axes[0].lines) == 1
    assert "widest line: 2 in common" in texts(graph)


@pytest.mark.parametrize("variant", ["paper", "released"])
def test_the_focal_figure_prints_maximum_minus_mean(variant):
    model, inputs = trained(2, [[0, 1], [2, 3]], channels=3, prototypes=4, variant=variant)
    words = texts(figures(model, inputs)["Plain and focal similarity"].figure)
    with torch.no_grad():
        output = model(inputs.images[:1])
    best = model.evidence(output, output.scores.argmax(1)).contributions.argmax(1)
    focal = output.similarities[0, best].item()
    assert any(text.endswith(f"= {focal:.2f}") for text in words)


def test_without_focal_similarity_there_is_nothing_to_compare():
    model, inputs = trained(2, [[0, 1], [2, 3]], prototypes=4, focal=False)
    assert "Plain and focal similarity" not in figures(model, inputs)


@pytest.mark.slow
def test_figures_say_how_many_classes_are_left_out():
    assigned = [[c, (c + 1) % 300, 300] for c in range(300)]
    model, inputs = trained(300, assigned, prototypes=301)
    by_title = figures(model, inputs)
    assert all(drawn(part.figure) for part in by_title.values())
    assert all(max(part.figure.get_size_inches()) < 20 for part in by_title.values())
    assert "270 more classes not shown" in by_title["Classes that share prototypes"].caption
    assert any("more" in text for text in texts(by_title["Prototypes that classes share"].figure))


def test_long_lists_are_shortened():
    views = [PrototypeView(j, ("cat", "dog")) for j in range(14)]
    assert "and 2 more" in texts(class_figure("cat", [], views))
    figure = pair_figure(("cat", "dog"), ([], []), (views, [], views[:1]))
    assert {"and 5 more", "nothing"} <= set(texts(figure))
    names = tuple(f"a rather long name {c}" for c in range(50))
    lines = texts(shared_figure([PrototypeView(0, names)], 60))
    assert any(line.endswith("more") for line in lines)


def test_names_are_never_parsed_as_mathematics():
    figure = graph_figure(["$x_1$", "b", "c"], np.array([[0, 1, 0], [1, 0, 0], [0, 0, 0]]))
    assert "$x_1$" in texts(figure)
    assert drawn(figure)
