"""ProtoPShare against the fact sheet's values and plain re-implementations."""

from __future__ import annotations

import json
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

import models
import resemblance
from models import noise_for
from resemblance.cli.main import main
from resemblance.config.errors import UserError
from resemblance.config.image import ImageSpec
from resemblance.config.model import ModelSpec
from resemblance.config.training import TrainConfig
from resemblance.data.batch import Batch
from resemblance.methods.protopshare.config import ProtoPShareConfig
from resemblance.methods.protopshare.merging import (
    Products,
    merge,
    merge_down_to,
    merge_within,
    nearest_threshold,
)
from resemblance.methods.registry import build
from resemblance.training.ends import actions
from resemblance.training.ends.projection import project
from resemblance.training.engine.checkpoints import load_checkpoint
from resemblance.training.engine.fit import fit
from resemblance.training.engine.optimizers import freeze_others
from tiny import CLASSES, digits

IMAGE = ImageSpec(16, 16, 1, (0.3,), (0.35,))
SHORT = {"warm_epochs": 1, "joint_epochs": 1, "push_every": 2, "tune_epochs": 1, "last_epochs": 1}


make = partial(models.make, "protopshare", encoder="small", prototypes_per_class=2, prototype_depth=8)


def for_digits(method="protopshare", seed=0, **config):
    torch.manual_seed(seed)
    config = {"encoder": "small", "prototypes_per_class": 2, "prototype_depth": 8, **SHORT, **config}
    if method == "protopnet":
        del config["tune_epochs"]
    return build(method, config, ModelSpec(CLASSES, IMAGE))


def batches_of(images, labels, size=2):
    order = torch.arange(len(images))
    return [Batch(images[part], labels[part], part) for part in order.split(size)]


def differences_of(columns):
    found = Products()
    for part in torch.as_tensor(columns, dtype=torch.float64).split(2):
        found.update(part)
    return found.differences()


# what is merged


def test_the_fact_sheets_values():
    differences = differences_of([[0, 0, 5], [1, 1, 5], [2, 2.1, 5]])
    assert differences.min(axis=1) == pytest.approx([0.01, 0.01, 49.41])
    threshold = nearest_threshold(differences, 2)
    assert threshold == pytest.approx(0.01)
    into = merge_within(differences, threshold)
    assert into.tolist() == [0, 0, 2]
    model = make(prototypes_per_class=1, variant="released")
    with torch.no_grad():
        model.last.weight.copy_(torch.arange(9.0).reshape(3, 3))
    assert model.merge(torch.from_numpy(into)).tolist() == [0, 2]
    assert model.last.weight.tolist() == [[1, 2], [7, 5], [13, 8]]
    assert model.prototypes.owners.tolist() == [[True, True, False], [False, False, True]]


def test_negative_evidence_piles_up_only_in_the_released_variant():
    """The fact sheet's columns (1, −.5, −.5) and (−.5, 1, −.5)."""
    similarities = torch.tensor([[2.0, 2.0, 5.0]])  # the first two answer alike
    columns = torch.full((3, 3), -0.5) + 1.5 * torch.eye(3)
    expected = {"released": [0.5, 0.5, -1.0], "paper": [1.5, 1.5, 0.0]}
    for variant, column in expected.items():
        model = make(prototypes_per_class=1, variant=variant)
        with torch.no_grad():
            model.last.weight.copy_(columns)
            before = (similarities @ columns.T).softmax(1)
            model.merge(torch.tensor([0, 0, 2]))
            after = model.last(similarities[:, [0, 2]]).softmax(1)
        assert model.last.weight[:, 0].tolist() == column
        assert torch.allclose(before, after, atol=1e-6)  # both say the same with the same probability


def plain_merge(differences, threshold):
    """The released code in words: go through what is left, and let each take in all that are near to it."""
    left = list(range(len(differences)))
    into = {j: j for j in left}
    place = 0
    while place < len(left):
        i = left[place]
        for j in [j for j in left if j != i and differences[i][j] <= threshold]:
            into[j] = i
            left.remove(j)
        place += 1
    return [into[j] for j in range(len(differences))]


@settings(deadline=None, max_examples=60)
@given(seed=st.integers(0, 10_000), count=st.integers(1, 12), m=st.integers(1, 12), size=st.integers(1, 9))
def test_merging_agrees_with_a_plain_re_implementation(seed, count, m, size):
    columns = torch.randint(4, (9, count), generator=torch.Generator().manual_seed(seed)).double()
    found = Products()
    for part in columns.split(size):
        found.update(part)
    differences = found.differences()
    for i in range(count):
        for j in range(count):
            plain = sum((columns[x, i] - columns[x, j]) ** 2 for x in range(9)).item()
            assert differences[i, j] == (np.inf if i == j else pytest.approx(plain, abs=1e-9))
            if i != j and plain == 0:
                assert differences[i, j] == 0  # exactly, so that equal columns are ties
    assert (differences == differences.T).all()
    nearest = sorted(
        min(row[j] for j in range(count) if j != i) if count > 1 else np.inf
        for i, row in enumerate(differences)
    )
    threshold = nearest_threshold(differences, m)
    assert threshold == nearest[min(m, count) - 1]
    assert merge_within(differences, threshold).tolist() == plain_merge(differences, threshold)


@settings(deadline=None, max_examples=60)
@given(seed=st.integers(0, 10_000), count=st.integers(1, 15), wanted=st.integers(1, 15))
def test_merging_down_leaves_exactly_as_many_as_wanted(seed, count, wanted):
    columns = torch.randint(5, (4, count), generator=torch.Generator().manual_seed(seed)).double()
    differences = differences_of(columns)
    into = merge_down_to(differences, wanted)
    stay = {j for j in range(count) if into[j] == j}
    assert len(stay) == min(wanted, count)
    assert set(into.tolist()) == stay  # what was merged takes nothing in
    assert all(target <= j for j, target in enumerate(into))


def test_two_thousand_prototypes_are_merged_in_seconds():
    columns = torch.rand(500, 2000, generator=torch.Generator().manual_seed(0))
    found = Products()
    found.update(columns)
    assert np.unique(merge_down_to(found.differences(), 1000)).size == 1000


def test_data_and_vectors_see_different_things():
    """Two prototypes far from each other, and both from all images, answer alike."""
    model = make(classes=2, prototypes_per_class=2, similarity="linear", keep=3).eval()
    latents = torch.zeros(3, 8, 7, 7)
    latents[1:] += 0.1
    with torch.no_grad():
        model.prototypes.vectors.zero_()
        model.prototypes.vectors[0, 0] = 5.0
        model.prototypes.vectors[1, 0] = 0.3
        model.prototypes.vectors[3, 1] = 5.0
    model.latents = lambda images: latents[: len(images)]
    report = merge(model, batches_of(torch.rand(3, 1, 28, 28), torch.tensor([0, 1, 1]), 3))
    assert report.into == (0, 1, 2, 0)
    assert model.prototypes.owners.tolist() == [[True, True], [True, False], [False, True]]
    assert "1 of them shared by 2 or more" in report.lines()[0]
    other = make(classes=2, prototypes_per_class=2, keep=3, merge_by="vectors").eval()
    with torch.no_grad():
        other.prototypes.vectors.zero_()
        other.prototypes.vectors[0, 0], other.prototypes.vectors[1, 0], other.prototypes.vectors[3, 1] = (
            5.0,
            0.3,
            5.0,
        )
    assert merge(other, []).into == (0, 1, 1, 3)


def test_what_is_compared_and_how_many_stay():
    images, labels = torch.rand(5, 1, 28, 28), torch.tensor([0, 1, 2, 0, 1])
    for variant, compared in (("paper", "similarities"), ("released", "distances")):
        model = make(variant=variant, merge=4).eval()
        with torch.no_grad():
            output = model(images)
        columns = output.similarities if compared == "similarities" else output.extras["distances"]
        differences = differences_of(columns)
        expected = plain_merge(differences, nearest_threshold(differences, 4))
        assert list(merge(model, batches_of(images, labels)).into) == expected
        assert len(set(expected)) < 6
    with pytest.raises(UserError, match="no training images"):
        merge(make().eval(), [])
    with pytest.raises(UserError, match="does not merge"):
        merge(models.make("protopnet", encoder="small"), [])


@pytest.mark.parametrize(
    ("keep", "rounds", "left"), [(0.5, 1, [30]), (0.25, 2, [30, 15]), (20, 3, [42, 29, 20])]
)
def test_rounds_come_down_to_the_wanted_number(keep, rounds, left):
    model = make(classes=10, prototypes_per_class=6, keep=keep, rounds=rounds).eval()
    context = actions.ActionContext(train=noise_for(model, 40))
    for count in left:
        actions.run("merge", model, context)
        assert len(model.prototypes) == count == len(model.facts["members"])
        assert context.kept is not None
        assert len(context.kept) == count
    members = sorted(entry["prototype"] for entries in model.facts["members"] for entry in entries)
    assert members == list(range(60))
    rounds_of = {entry["round"] for entries in model.facts["members"] for entry in entries}
    assert rounds_of == set(range(rounds + 1))
    for entries, names in zip(
        model.facts["members"], model.prototypes.owner_names(model.spec.classes), strict=True
    ):
        assert set(names) == {name for entry in entries for name in entry["classes"]}


# shared prototypes


def test_losses_with_shared_prototypes_agree_with_a_plain_re_implementation():
    for variant in ("paper", "released"):
        model = make(variant=variant).eval()
        model.merge(torch.tensor([0, 1, 0, 3, 3, 5]))  # prototype 0: classes 0 and 1; 3: classes 1 and 2
        with torch.no_grad():
            model.last.weight.add_(0.1)
        owners = [{0, 1}, {0}, {1, 2}, {2}]
        images, labels = torch.rand(4, 1, 28, 28), torch.tensor([0, 2, 1, 1])
        output = model(images)
        distances, weight = output.extras["distances"], model.last.weight
        cluster = separation = l1 = 0.0
        for b, label in enumerate(labels.tolist()):
            cluster += min(distances[b, j].item() for j in range(4) if label in owners[j]) / 4
            separation += min(distances[b, j].item() for j in range(4) if label not in owners[j]) / 4
        for c in range(3):
            l1 += sum(abs(weight[c, j].item()) for j in range(4) if c not in owners[j])
        terms = model.loss(output, labels)
        assert terms["cluster"].item() == pytest.approx(0.8 * cluster, rel=1e-4)
        assert terms["separation"].item() == pytest.approx(-0.08 * separation, rel=1e-4)
        assert terms["l1"].item() == pytest.approx(1e-4 * l1, rel=1e-4)
        assert terms["cross_entropy"].item() == pytest.approx(F.cross_entropy(output.scores, labels).item())


def test_shared_prototypes_are_projected_over_all_their_classes():
    model = make(classes=3, prototypes_per_class=1).eval()
    model.merge(torch.tensor([0, 0, 2]))
    images, labels = torch.rand(6, 1, 28, 28), torch.tensor([2, 0, 1, 1, 0, 2])
    with (
        torch.no_grad()
    ):  # both lie on a patch of class 1, the higher index of the shared one's, foreign to the other
        patch = model.latents(images[3:4])[0, :, 2, 3]
        model.prototypes.vectors[0] = patch[:, None, None]
        model.prototypes.vectors[1] = patch[:, None, None]
    project(model, batches_of(images, labels))
    assert model.prototypes.source_index[0] == 3
    assert torch.allclose(model.prototypes.vectors[0].flatten(), patch, atol=1e-6)
    assert model.prototypes.source_index[1] in (0, 5)


def test_a_fresh_last_layer_speaks_for_the_own_classes_only():
    for variant in ("paper", "released"):
        assert make(classes=2, variant=variant).last.weight.tolist() == [[1, 1, 0, 0], [0, 0, 1, 1]]


# training


def test_the_schedule():
    recipe = make(rounds=2, push_every=20).recipe()
    assert [stage.name for stage in recipe.stages] == [
        "warm",
        "joint 1",
        "last layer 1",
        "merge 1",
        "fine-tuning 1",
        "shared last layer 1",
        "merge 2",
        "fine-tuning 2",
        "shared last layer 2",
    ]
    assert [stage.epochs for stage in recipe.stages] == [5, 15, 25, 0, 5, 25, 0, 5, 25]
    assert [stage.end for stage in recipe.stages[3:6]] == [("merge",), ("project",), ()]
    assert [stage.fresh for stage in recipe.stages if stage.name.startswith("fine")] == [True, False]
    assert not any(stage.candidate for stage in recipe.stages)  # an unmerged model must not win
    tuned = recipe.stages[4].groups
    assert (tuned["encoder"].lr, tuned["addon"].lr, tuned["prototypes"].lr) == (1e-4, 3e-3, 3e-3)
    assert recipe.batch_size == 60
    assert recipe.scaled(10).stages[4].epochs > 0


class Watched:
    """The state dict before and after each run of an action."""

    def __init__(self, name, monkeypatch):
        original = actions.END_ACTIONS[name]
        self.before, self.after = [], []

        def act(model, context):
            self.before.append({key: value.clone() for key, value in model.state_dict().items()})
            original(model, context)
            self.after.append({key: value.clone() for key, value in model.state_dict().items()})

        monkeypatch.setitem(actions.END_ACTIONS, name, act)


def test_fine_tuning_really_trains_what_was_merged(tmp_path, monkeypatch):
    """The released code's optimisers hold copies after the merge, and nothing changes."""
    merging, projecting = Watched("merge", monkeypatch), Watched("project", monkeypatch)
    model = for_digits(rounds=2, keep=0.4)
    fit(model, digits(120, 20), tmp_path / "run", TrainConfig(accelerator="cpu", progress=False))
    assert [len(state["prototypes.vectors"]) for state in merging.after] == [13, 8]
    for number in (0, 1):
        merged, tuned = merging.after[number], projecting.before[number + 1]
        for name in ("prototypes.vectors", "addon.0.weight", "encoder.layers.0.weight"):
            assert (merged[name] - tuned[name]).abs().max() > 1e-6, (number, name)
        assert torch.equal(merged["last.weight"], tuned["last.weight"])  # its turn comes after the projection
        last = merging.before[1]["last.weight"] if number == 0 else model.last.weight
        assert (tuned["last.weight"] - last).abs().max() > 1e-6
    state = load_checkpoint(tmp_path / "run" / "checkpoints" / "run.ckpt")
    carried = state["carried"]["states"]
    assert carried["prototypes.vectors"]["state"]["exp_avg"].shape == model.prototypes.vectors.shape
    assert carried["last.weight"]["state"]["exp_avg"].shape == model.last.weight.shape


def test_the_optimisers_state_follows_the_prototypes_that_stay():
    from resemblance.training.engine.optimizers import OptimizerState, build_optimizer, carry, follow

    model = for_digits(keep=0.5)
    stage = next(stage for stage in model.recipe().stages if stage.name == "fine-tuning 1")
    freeze_others(model, stage)
    optimizer = build_optimizer(model, stage, OptimizerState())
    for parameter in model.parameters():
        parameter.grad = torch.randn_like(parameter) if parameter.requires_grad else None
    optimizer.step()
    carried = carry(model, stage, optimizer, 1, OptimizerState())
    moments = carried.states["prototypes.vectors"]["state"]["exp_avg"].clone()
    before = {name: parameter.shape for name, parameter in model.named_parameters()}
    context = actions.ActionContext(digits().train)
    actions.run("merge", model, context)
    followed = follow(carried, before, model, context.kept)
    assert torch.equal(followed.states["prototypes.vectors"]["state"]["exp_avg"], moments[context.kept])


def test_saved_and_loaded_with_the_owners_and_members(tmp_path):
    model = for_digits().eval()
    actions.run("merge", model, actions.ActionContext(digits().train))
    assert model.prototypes.owners.sum(1).max() > 1
    model.save(tmp_path / "model")
    loaded = resemblance.load(tmp_path / "model")
    assert torch.equal(loaded.prototypes.owners, model.prototypes.owners)
    assert loaded.facts == model.facts
    images = torch.rand(3, 1, 16, 16)
    assert torch.equal(loaded(images).scores, model(images).scores)
    loaded.keep(torch.tensor([2, 0]))
    assert loaded.facts["members"] == [model.facts["members"][2], model.facts["members"][0]]


# from a trained ProtoPNet


@pytest.fixture
def start(tmp_path):
    model = for_digits("protopnet", similarity="linear").eval()
    model.prototypes.activations.fill_(3)
    model.save(tmp_path / "start" / "model")
    return model, str(tmp_path / "start")


def test_a_trained_protopnet_is_taken_over(start):
    trained, folder = start
    torch.manual_seed(5)
    model = build("protopshare", {"start": folder}, ModelSpec(CLASSES, IMAGE)).eval()
    images = torch.rand(2, 1, 16, 16)
    assert torch.equal(model(images).scores, trained(images).scores)
    assert model.config.encoder == "small"
    assert model.config.similarity == "linear"
    assert not model.prototypes.usage_counted
    names = [stage.name for stage in model.recipe().stages]
    assert names == ["merge 1", "fine-tuning 1", "shared last layer 1"]
    assert model.recipe().stages[0].end == ("project", "merge")
    assert model.recipe().stages[1].groups["encoder"].lr == 1e-4


def test_a_shared_model_can_be_merged_further(start, tmp_path):
    spec = ModelSpec(CLASSES, IMAGE)
    model = build("protopshare", {"start": start[1]}, spec).eval()
    actions.run("merge", model, actions.ActionContext(digits().train))
    model.save(tmp_path / "shared")
    again = build("protopshare", {"start": str(tmp_path / "shared"), "keep": 0.5}, spec).eval()
    assert torch.equal(again.prototypes.owners, model.prototypes.owners)
    actions.run("merge", again, actions.ActionContext(digits().train))
    assert len(again.prototypes) == 5


def test_a_saved_model_does_not_need_its_start(start, tmp_path):
    model = build("protopshare", {"start": start[1]}, ModelSpec(CLASSES, IMAGE)).eval()
    model.save(tmp_path / "model")
    (tmp_path / "start").rename(tmp_path / "gone")
    assert resemblance.load(tmp_path / "model").config == model.config


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"prototype_depth": 9}, "--prototype-depth 9 contradicts --start .*, which has 8; drop it"),
        ({"encoder": "resnet18"}, "--encoder resnet18 contradicts"),
        ({"similarity": "log"}, "--similarity log contradicts"),
        ({"warm_epochs": 3}, "--warm-epochs is for training a ProtoPNet first"),
        ({"prune": True}, "--prune is for training a ProtoPNet first"),
        ({"keep": 0.5, "merge": 2}, "give only one of them"),
        ({"keep": 0}, "--keep must be a share between 0 and 1 or a whole number, not 0"),
        ({"merge": 2.5}, "--merge must be a share"),
        ({"merge_by": "both"}, "'both' is not one of data, vectors"),
        ({"rounds": 0}, "--rounds must be at least 1"),
    ],
)
def test_what_contradicts_is_refused_in_a_line(start, config, words):
    with pytest.raises(UserError, match=words) as caught:
        ProtoPShareConfig(start=start[1], **config)
    assert "\n" not in str(caught.value)


def test_what_is_no_protopnet_is_refused(start, tmp_path):
    spec = ModelSpec(CLASSES, IMAGE)
    with pytest.raises(UserError, match="no such folder"):
        ProtoPShareConfig(start=str(tmp_path / "nothing"))
    with pytest.raises(UserError, match="neither a run folder"):
        ProtoPShareConfig(start=str(tmp_path))
    (tmp_path / "half" / "checkpoints").mkdir(parents=True)
    with pytest.raises(UserError, match="not finished"):
        ProtoPShareConfig(start=str(tmp_path / "half"))
    build("blackbox", {"encoder": "small"}, spec).save(tmp_path / "blackbox")
    with pytest.raises(UserError, match=r"needs a protopnet or protopshare, but .* holds a blackbox"):
        ProtoPShareConfig(start=str(tmp_path / "blackbox"))
    with pytest.raises(UserError, match="other classes or images"):
        build("protopshare", {"start": start[1]}, ModelSpec(CLASSES[::-1], IMAGE))
    settled = dict(vars(ProtoPShareConfig(start=start[1])), prototype_depth=9)
    with pytest.raises(UserError, match="--prototype-depth 9 contradicts"):  # all settled, but wrongly
        build("protopshare", settled, spec)
    path = tmp_path / "start" / "model" / "config.json"
    document = json.loads(path.read_text())
    document["config"]["encoder"] = "somewhere:net"
    path.write_text(json.dumps(document))
    with pytest.raises(UserError, match=r"own code; .* add --encoder somewhere:net"):
        ProtoPShareConfig(start=start[1])


def test_without_a_start_the_defaults_are_protopnets():
    config = ProtoPShareConfig()
    assert (config.encoder, config.prototype_depth, config.pool, config.keep) == ("resnet18", 128, "max", 0.5)


@pytest.mark.slow
def test_the_command_line_from_start_to_report(tmp_path, capsys):
    quick = ["--batch-size", "64", "--no-progress", "--data", "digits"]
    start, run = str(tmp_path / "protopnet"), str(tmp_path / "shared")
    small = ["--encoder", "small", "--prototypes-per-class", "4", "--last-epochs", "2", "--seed", "3"]
    assert (
        main(["train", "protopnet", *quick, *small, "--epochs", "3", "--no-report", "--output", start]) == 0
    )
    shared = ["train", "protopshare", *quick, "--start", start]
    assert main([*shared, "--epochs", "2", "--rounds", "2", "--last-epochs", "2", "--output", run]) == 0
    said = capsys.readouterr().out
    assert "merged" in said
    found = json.loads((tmp_path / "shared" / "metrics.json").read_text())
    assert found["val"]["accuracy"] > 0.3
    model = resemblance.load(run)
    assert len(model.prototypes) == 20
    config = (tmp_path / "shared" / "config.yaml").read_text()
    assert "split_seed: 3" in config  # the validation images are those of the start
    report = (tmp_path / "shared" / "report.html").read_text()
    for title in (
        "Merged prototypes",
        "Prototypes by the number of their classes",
        "Classes that share prototypes",
    ):
        assert title in report
    assert main(["prototypes", run]) == 0
    assert main(["evaluate", run]) == 0
    image = tmp_path / "image.png"
    from PIL import Image

    Image.fromarray(np.full((20, 20), 90, np.uint8)).save(image)
    assert main(["explain", run, str(image)]) == 0
    assert main([*shared, "--image-size", "64", "--output", str(tmp_path / "other")]) == 2
    assert main([*shared, "--addon", "none", "--output", str(tmp_path / "other")]) == 2
    errors = capsys.readouterr().err
    assert "--image-size (64, 64) contradicts --start" in errors
    assert "--addon none contradicts --start" in errors
    again = ["--config", str(tmp_path / "shared" / "config.yaml"), "--output", str(tmp_path / "again")]
    assert main(["train", "protopshare", *again, "--no-report"]) == 0
    assert "unknown option" not in capsys.readouterr().err
