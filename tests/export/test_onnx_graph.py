"""Every method as an ONNX graph: it agrees with the model for any number of images, and has no loop."""

from __future__ import annotations

import json
import sys
from copy import deepcopy

import numpy as np
import pytest
import torch

import resemblance
from cases import PROTOTYPE_METHODS, PROTOTYPE_VARIANTS, VARIANTS
from commanding import Command
from models import spec_of
from resemblance.config.errors import UserError
from resemblance.export.answer_graph import AnswerGraph
from resemblance.export.onnx_check import check_onnx
from resemblance.export.onnx_file import onnx_bytes
from resemblance.export.packages import import_packages
from resemblance.methods.ensemble.model import make_ensemble
from resemblance.methods.registry import build
from resemblance.training.ends.gallery import build_gallery
from test_contract import finish, images_of, make
from tiny import digits

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

FIRST = {
    method: variant for variant, (method, _) in reversed(VARIANTS.items()) if variant in PROTOTYPE_VARIANTS
}
PATCHES = "kmex patches"  # another kind of head
QUICK = [*FIRST.values(), PATCHES]
OTHERS = [variant for variant in PROTOTYPE_VARIANTS if variant not in QUICK]
LOOPS = {"Loop", "Scan", "If"}


def finished(variant: str, **sizes: int):
    """A model whose prototypes are projected onto noise, or clustered from it."""
    model = make(variant, **sizes).eval()
    finish(model)
    return model


def run_graph(content: bytes, images: torch.Tensor) -> dict[str, np.ndarray]:
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, {"images": images.numpy()}), strict=True))


def operators(content: bytes) -> list[str]:
    return [node.op_type for node in onnx.load_from_string(content).graph.node]


def assert_agrees(variant: str) -> None:
    model = finished(variant)
    graph = AnswerGraph(model)
    content = onnx_bytes(graph, {"method": model.name})
    assert not LOOPS & set(operators(content))
    agreement = check_onnx(content, graph, images_of(model, 5, seed=1))
    assert set(agreement.differences) == set(graph.names) - {"prediction", "deciding_prototype"}
    for count in (1, 3):
        images = images_of(model, count, seed=2)
        answer = run_graph(content, images)
        with torch.no_grad():
            scores = model(images).scores.numpy()
        size = np.abs(answer["contributions"]).sum(axis=1) + np.abs(answer["bias"])
        assert np.abs(answer["scores"] - scores).max() <= 1e-5 * max(size.max(), np.abs(scores).max())
        total = answer["contributions"].sum(axis=1, dtype=np.float64) + answer["bias"]
        assert (np.abs(total - answer["scores"].max(axis=1)) <= 1e-5 * size).all()
        assert (answer["prediction"] == scores.argmax(axis=1)).all()
        if model.traits.maps:
            assert answer["maps"].shape[:2] == (count, len(model.prototypes))


@pytest.mark.parametrize("variant", QUICK)
def test_a_graph_agrees_with_its_model(variant):
    assert_agrees(variant)


@pytest.mark.nightly
@pytest.mark.parametrize("variant", OTHERS)
def test_a_graph_of_every_variant_agrees_with_its_model(variant):
    assert_agrees(variant)


def test_every_method_is_here():
    assert set(FIRST) == set(PROTOTYPE_METHODS)


@pytest.mark.parametrize(
    ("method", "pool"), [("protopnet", {}), ("protopnet", {"pool": "avg"}), ("kmex", {})]
)
def test_more_prototypes_are_no_more_operations(method, pool):
    def graph(count: int) -> list[str]:
        config = {"encoder": "small", "prototypes_per_class": count, **pool}
        return operators(onnx_bytes(AnswerGraph(build(method, config, spec_of(3, 16))), {}))

    assert len(graph(40)) <= len(graph(4)) + 5  # small tensors are folded, and 108 prototypes are more than 5


def test_an_ensemble_agrees_with_its_members():
    ensemble = make_ensemble([finished("protopnet avg"), finished("tesnet")])
    graph = AnswerGraph(ensemble)
    content = onnx_bytes(graph, {})
    check_onnx(content, graph, images_of(ensemble, 3))
    assert run_graph(content, images_of(ensemble, 2))["maps_1"].shape[0] == 2


def test_a_graph_of_other_weights_is_refused():
    model = finished("protopnet avg")
    content = onnx_bytes(AnswerGraph(model), {})
    with torch.no_grad():
        model.last.weight[0, 0] += 1e-3
    with pytest.raises(UserError, match="the scores of the graph differ from those of the protopnet"):
        check_onnx(content, AnswerGraph(model), images_of(model, 2))


def eigenvalues(features):
    """An operation that ONNX lacks."""
    return torch.linalg.eigvals(features @ features.transpose(2, 3)).abs().sum()


def one_by_one(features):
    """A computation that depends on the number of images."""
    return torch.stack([image.sum() for image in features]).sum()


@pytest.mark.parametrize(
    ("operation", "message"),
    [
        (eigenvalues, "ONNX has no equivalent of its operation linalg_eig"),
        (one_by_one, "its computation depends on the number of images in a batch"),
    ],
)
def test_the_reason_of_a_refusal_is_said_in_one_line(operation, message, monkeypatch):
    graph = AnswerGraph(make("protopnet avg"))
    encode = graph.model.encode
    monkeypatch.setattr(graph.model, "encode", lambda images: (z := encode(images)) + operation(z))
    with pytest.raises(UserError, match=f"protopnet cannot be exported: {message}") as raised:
        onnx_bytes(graph, {})
    assert "\n" not in str(raised.value)


def test_what_is_written(tmp_path):
    model = finished("protopnet")
    written = resemblance.export(model, tmp_path / "deep" / "xrays.v2.onnx")
    assert written.graph.parent == tmp_path / "deep"
    names = sorted(path.name for path in written.graph.parent.iterdir())
    assert names == ["xrays.v2.onnx", "xrays.v2.onnx.json", "xrays.v2_explain.py"]  # it has no gallery
    assert written.pictures is None
    described = json.loads(written.description.read_text(encoding="utf-8"))
    assert described["classes"] == list(model.spec.classes)
    assert described["input"]["mean"] == [0.5]
    assert described["outputs"].keys() == set(written.outputs)
    assert len(described["reasons"]) == len(described["prototypes"]) == len(model.prototypes)
    assert described["references"][0]["text"] == "no reference is stored to compare it with"
    proto = onnx.load(written.graph)
    stored = {entry.key: json.loads(entry.value) for entry in proto.metadata_props}
    assert (stored["method"], stored["classes"]) == ("protopnet", list(model.spec.classes))
    size = proto.graph.input[0].type.tensor_type.shape.dim
    assert [dim.dim_param or dim.dim_value for dim in size] == ["batch", 1, 29, 26]


def test_the_command_writes_pictures_or_leaves_them_out(tmp_path, trained, command: Command):
    model = deepcopy(trained("kmex").model)
    model.gallery = build_gallery(model, digits(96, 40).train)
    model.save(tmp_path / "model")
    file = tmp_path / "out" / "digits.onnx"
    code, out, err = command("export", tmp_path / "model", "--onnx", file)
    assert (code, err) == (0, "")
    assert "onnxruntime" in out
    described = json.loads(file.with_name("digits.onnx.json").read_text(encoding="utf-8"))
    pictures = file.with_name("digits_prototypes")
    assert {entry["picture"] for entry in described["prototypes"]} == {p.name for p in pictures.iterdir()}
    code, out, _ = command(
        "export", tmp_path / "model", "--onnx", tmp_path / "bare", "--no-pictures", "--json"
    )
    assert code == 0
    written = json.loads(out)
    assert written["graph"] == str(tmp_path / "bare" / "model.onnx")
    assert written["pictures"] is None
    assert written["largest_relative_difference"] < 1e-3
    assert not (tmp_path / "bare" / "model_prototypes").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "--onnx is missing"),
        (["--onnx", "model.pt"], "model.pt: the name of the graph must end in .onnx"),
        (["--onnx", "digits.onnx"], "would be replaced, and it has files that are no pictures of an export"),
    ],
)
def test_a_mistake_is_one_line_and_writes_nothing(
    arguments, message, tmp_path, monkeypatch, trained, command
):
    trained("kmex").model.save(tmp_path / "model")
    monkeypatch.chdir(tmp_path)
    holiday = tmp_path / "digits_prototypes" / "holiday.jpg"
    holiday.parent.mkdir()
    holiday.write_bytes(b"mine")
    code, out, err = command("export", "model", *arguments)
    assert (code, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["digits_prototypes", "model"]
    assert holiday.read_bytes() == b"mine"


def test_missing_packages_are_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(UserError, match=r"onnxscript .*: pip install 'resemblance\[onnx\]'"):
        import_packages()
