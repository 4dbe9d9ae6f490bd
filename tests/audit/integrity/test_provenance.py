"""The check of provenance: untouched folders pass, each kind of manipulation is found and named."""

from __future__ import annotations

import dataclasses
import io
import json

import numpy as np
import pytest
import torch
from PIL import Image

import resemblance
from audit.integrity.finished import Finished, finished
from cases import PROTOTYPE_VARIANTS
from forged_folders import make_run, splits_of
from models import make
from resemblance.audit.audit_runner import run_checks
from resemblance.audit.audited import AuditSubject
from resemblance.audit.integrity import provenance_examples
from resemblance.audit.integrity.provenance_texts import REASONS
from resemblance.audit.integrity.source_pictures import same_picture, source_figure
from resemblance.data.sources.source import ArraySource
from resemblance.prototypes.gallery import INDEX, Picture
from resemblance.store import load_folder, save_folder
from resemblance.training.ends.gallery import build_gallery
from tiny import same

KINDS = ("protopnet", "kmex", "kmex patches", "protovae", "pipnet", "flint", "tesnet", "deformable")


def audit(subject):
    result = run_checks(subject, ("provenance",))
    assert not result.left_out, result.left_out
    return result.findings[0]


def saved_and_loaded(made: Finished, folder) -> Finished:
    made.model.save(folder)
    return Finished(resemblance.load(folder), made.train)


def rewritten(folder, change):
    """Change the content of a model folder, and write it with checksums that fit."""
    stored = load_folder(folder)
    index = json.loads(stored.files[INDEX])
    change(stored.tensors, index["prototypes"], stored.files)
    stored.files[INDEX] = json.dumps(index).encode()
    config = {name: value for name, value in stored.config.items() if name != "format"}
    save_folder(folder, config, stored.tensors, stored.files)
    return resemblance.load(folder)  # today's check of the folder passes


@pytest.mark.parametrize("name", PROTOTYPE_VARIANTS)
def test_an_untouched_folder_passes(name, tmp_path):
    made = saved_and_loaded(finished(name), tmp_path / "model")
    finding = audit(made.subject())
    assert finding.verdict == "passed", (finding.sentence, finding.details)
    assert finding.value("provenance").value == 0
    assert finding.value("provenance").count > 0
    assert finding.values[0].name == "provenance"
    assert not finding.cure
    assert finding.examples[0].png.startswith(b"\x89PNG")


def exchange_pictures(tensors, entries, files):
    """Exchange the picture files, so that each name shows another image."""
    names = sorted({entry["source"] for entry in entries if entry["source"]})
    first = [files[f"prototypes/{name}"] for name in names]
    for name, data in zip(names, first[1:] + first[:1], strict=True):
        files[f"prototypes/{name}"] = data


def change_names(tensors, entries, files):
    entries[0]["name"] = "another.png"


def move_box(tensors, entries, files):
    """Move the box, in the index and in the tensors, so that both agree."""
    tensors["prototypes.source_box"][0] = torch.tensor([9, 20, 15, 27])
    entries[0]["box"] = [9, 20, 15, 27]


def move_box_in_the_index(tensors, entries, files):
    entries[0]["box"] = [0, 0, 5, 5]


def change_vector(tensors, entries, files):
    vectors = tensors["prototypes.vectors"]
    vectors[0] += 0.5 * vectors[0].abs().mean() * torch.randn(vectors[0].shape)


def change_owner(tensors, entries, files):
    tensors["prototypes.owners"][0] = tensors["prototypes.owners"][0].roll(1)


def beyond_the_images(tensors, entries, files):
    tensors["prototypes.source_index"][0] = 1000


def hide_the_source(tensors, entries, files):
    tensors["prototypes.source_index"][0] = -1


MANIPULATIONS = {
    exchange_pictures: ("picture", KINDS),
    change_names: ("name", KINDS),
    move_box: ("box", ("protopnet", "kmex patches", "pipnet", "tesnet", "deformable", "kmex", "flint")),
    move_box_in_the_index: ("box", KINDS),
    change_vector: ("vector", ("protopnet", "kmex", "kmex patches", "protovae", "tesnet", "deformable")),
    change_owner: ("class", ("protopnet", "kmex", "protovae", "tesnet")),
    beyond_the_images: ("index", KINDS),
    hide_the_source: ("index", KINDS),
}


@pytest.fixture(scope="module")
def originals(tmp_path_factory):
    """Make the finished model of a name once; each call returns a copy of its folder."""
    folders = {}

    def original(name):
        if name not in folders:
            made = finished(name)
            folder = tmp_path_factory.mktemp("original") / "model"
            made.model.save(folder)
            folders[name] = folder, made.train
        return folders[name]

    return original


@pytest.mark.parametrize(
    ("change", "name"),
    [(change, name) for change, (_, names) in MANIPULATIONS.items() for name in names],
    ids=lambda value: value if isinstance(value, str) else value.__name__,
)
def test_a_manipulated_folder_is_found(change, name, originals, tmp_path):
    folder, train = originals(name)
    resemblance.load(folder).save(tmp_path / "model")
    model = rewritten(tmp_path / "model", change)
    finding = audit(Finished(model, train).subject())
    reason = MANIPULATIONS[change][0]
    assert finding.verdict == "failed"
    assert finding.value("provenance").value > 0
    assert finding.value(f"provenance_{reason}").value >= 1
    word = model.traits.words.one
    named = {entry[word]: entry["reasons"] for entry in finding.details["failed"]}
    assert REASONS[reason] in named[0]
    assert finding.cure
    assert finding.examples


def test_all_exchanged_pictures_are_counted(originals, tmp_path):
    folder, train = originals("protopnet")
    resemblance.load(folder).save(tmp_path / "model")
    model = rewritten(tmp_path / "model", exchange_pictures)
    finding = audit(Finished(model, train).subject())
    assert finding.value("provenance_picture").value == len(model.prototypes)
    assert finding.value("provenance").value == 1
    others = [reason for reason in REASONS if reason != "picture"]
    assert all(finding.value(f"provenance_{reason}").value == 0 for reason in others)


def test_exchanged_decodings_are_found(originals, tmp_path):
    folder, train = originals("protovae")
    resemblance.load(folder).save(tmp_path / "model")

    def change(tensors, entries, files):
        entries[0]["decoding"] = entries[0]["source"]

    finding = audit(Finished(rewritten(tmp_path / "model", change), train).subject())
    assert finding.value("provenance_decoding").value == 1
    assert finding.verdict == "failed"


def test_a_decoded_picture_in_place_of_a_source_image_is_found(originals, tmp_path):
    """The explanation would show it, whatever the source image is."""
    folder, train = originals("kmex")
    resemblance.load(folder).save(tmp_path / "model")

    def change(tensors, entries, files):
        entries[0].update(kind="decoded", decoding=entries[1]["source"])

    finding = audit(Finished(rewritten(tmp_path / "model", change), train).subject())
    assert finding.value("provenance_picture").value == 1


# Untrained, the codes of a ProtoVAE are equally far from all images, as if each were the source.
@pytest.mark.parametrize("name", [name for name in KINDS if name != "protovae"])
def test_images_that_are_not_the_training_images_are_no_failure(name, originals):
    folder, train = originals(name)
    others = ArraySource(255 - train.array, train.labels, train.classes)
    model = resemblance.load(folder)
    finding = audit(Finished(model, others).subject())
    assert finding.verdict == "information", finding.details
    assert "not the training images" in finding.sentence
    assert not finding.value("provenance").defined  # so that a threshold on it fails
    assert "--data" in finding.cure
    assert finding.examples
    few = Finished(model, ArraySource(others.array[:2], others.labels[:2], others.classes))
    assert audit(few.subject()).verdict == "information"


@pytest.mark.parametrize("name", ["kmex", "pipnet"])
def test_other_images_fail_where_the_run_records_that_they_are_the_training_images(name, originals):
    folder, train = originals(name)
    others = ArraySource(255 - train.array, train.labels, train.classes)
    finding = audit(Finished(resemblance.load(folder), others).subject(recorded=True))
    assert finding.verdict == "failed"
    assert finding.value("provenance").value == 1
    assert "--data" in finding.cure


def test_an_audit_tells_images_that_a_run_records_from_others(tmp_path):
    run = resemblance.open_run(make_run(tmp_path / "run"))

    def verdict(data=None):
        [finding] = resemblance.audit(run, data, checks="provenance").result.findings
        return finding.verdict

    run.splits = splits_of()
    assert verdict() == "passed"
    assert verdict(splits_of()) == "passed"
    assert verdict(splits_of(seed=1)) == "information"
    run.splits = splits_of(seed=1)
    assert verdict() == "failed"


@pytest.mark.parametrize("name", ["kmex", "protopnet"])
def test_pictures_from_elsewhere_still_fail_beside_the_training_images(name, originals, tmp_path):
    folder, train = originals(name)
    resemblance.load(folder).save(tmp_path / "model")

    def change(tensors, entries, files):
        for entry in entries:
            pixels = 255 - Picture(files[f"prototypes/{entry['source']}"]).pixels()
            files[f"prototypes/{entry['source']}"] = Picture.from_pixels(pixels).data

    finding = audit(Finished(rewritten(tmp_path / "model", change), train).subject())
    assert finding.verdict == "failed"


def test_it_is_said_whose_picture_is_shown_instead(originals, tmp_path, monkeypatch):
    folder, train = originals("kmex")
    resemblance.load(folder).save(tmp_path / "model")
    rows = []
    monkeypatch.setattr(
        provenance_examples, "source_figure", lambda shown: rows.extend(shown) or source_figure(shown)
    )
    model = rewritten(tmp_path / "model", exchange_pictures)
    audit(Finished(model, train).subject())
    assert rows
    for row in rows:
        [sentence] = [line for line in row.says if line.startswith("it shows ")]
        other = int(sentence.split("the source of prototype ")[1].split()[0])
        assert row.stored.tolist() == resemblance.load(folder).gallery[other].image.tolist()
        assert row.failed


def test_vectors_rounded_to_16_bits_are_doubtful_and_not_failed(originals):
    """Where prototypes are far apart, as after training, rounding cannot be mistaken for another patch."""
    folder, train = originals("protopnet avg")
    model = resemblance.load(folder)
    vectors, sources = model.prototypes.vectors, model.prototypes.source_index
    sources.copy_(torch.tensor([0, 3, 1, 4, 2, 5]))  # two images of each class
    model.gallery = build_gallery(model, train)
    directions = torch.eye(len(vectors), vectors.shape[1])
    images = AuditSubject("run", model, train).read(sources).images
    model.latents = lambda batch: directions[equal(batch, images).int().argmax(dim=1)] * 1.003
    with torch.no_grad():
        vectors.copy_((1.003 * directions).bfloat16().float())
    finding = audit(Finished(model, train).subject())
    assert finding.verdict == "doubtful", finding.sentence
    assert finding.value("provenance").value == 0
    assert any("16 bits" in note for note in finding.notes)
    with torch.no_grad():
        vectors.mul_(1.03)
    assert audit(Finished(model, train).subject()).value("provenance_vector").value == len(vectors)


def equal(batch, images):
    """Return which of the images each image of the batch is, (B, N) bool."""
    return (batch[:, None] == images).flatten(2).all(dim=2)


@pytest.mark.parametrize("name", ["kmex", "protovae", "flint", "senn"])
def test_an_image_that_is_not_the_nearest_is_found(name, originals):
    """All else fits the other image: distance, box, picture and name."""
    folder, train = originals(name)
    model = resemblance.load(folder)
    layer, subject = model.prototypes, Finished(model, train).subject()
    with torch.no_grad():
        latents = model.latents(subject.read(range(len(train))).images)
        if (
            name == "protovae"
        ):  # untrained, all codes are about equally far away: let one prototype equal its source
            layer.vectors[0] = layer.compared(latents)[layer.source_index[0]]
        values = layer.match(latents).values[:, 0]
    own = layer.owners[0] if bool(layer.owners[0].any()) else torch.ones(3, dtype=torch.bool)
    mine = own[torch.from_numpy(train.labels)]
    farthest = int(values.masked_fill(~mine, -torch.inf).argmax())
    assert values[farthest] > values[layer.source_index[0]]
    layer.source_index[0], layer.source_distance[0] = farthest, values[farthest]
    if not layer.has_vectors:
        layer.source_distance[0] = torch.nan
    model.gallery = build_gallery(model, train)
    finding = audit(subject)
    assert finding.value("provenance_nearest").value == 1
    assert sum(finding.value(f"provenance_{reason}").value for reason in REASONS) == 1
    assert REASONS["nearest"] in finding.details["failed"][0]["reasons"]


def test_the_model_stays_as_it_was_and_ensembles_are_refused(originals):
    folder, train = originals("protopnet")
    model = resemblance.load(folder)
    before = resemblance.load(folder)
    audit(Finished(model, train).subject())
    assert same(model, before)
    ensemble = resemblance.make_ensemble([model, before])
    [left] = run_checks(AuditSubject("both", ensemble, train, train=train), ("provenance",)).left_out
    assert "one by one" in left.reason


def test_what_cannot_be_checked_is_said(originals):
    folder, train = originals("protopnet")
    model = resemblance.load(folder)
    [left] = run_checks(AuditSubject("run", model, train), ("provenance",)).left_out
    assert left.reason == "the training images are not available"
    black_box = make("blackbox", encoder="small")
    [left] = run_checks(AuditSubject("run", black_box, train, train=train), ("provenance",)).left_out
    assert left.reason == "blackbox has no prototypes"
    model.gallery = None
    finding = audit(Finished(model, train).subject())
    assert finding.verdict == "passed"
    assert any("no pictures" in note for note in finding.notes)
    model.prototypes.source_index.fill_(-1)
    [left] = run_checks(Finished(model, train).subject(), ("provenance",)).left_out
    assert left.reason == "no prototype of this protopnet has a source image"


def test_pictures_are_compared_as_they_were_encoded():
    rng = np.random.default_rng(0)
    small = rng.integers(0, 256, (20, 30, 3), dtype=np.uint8)
    assert same_picture(Picture.from_pixels(small), small)
    small[3, 4, 1] ^= 8
    changed = small.copy()
    changed[3, 4, 1] ^= 8
    assert not same_picture(Picture.from_pixels(small), changed)
    smooth = np.asarray(
        Image.fromarray(rng.integers(0, 256, (15, 20, 3), dtype=np.uint8)).resize((203, 150), 2)
    )
    stored = Picture.from_pixels(smooth)
    assert stored.suffix == ".jpg"
    assert same_picture(stored, smooth)
    buffer = io.BytesIO()
    Image.fromarray(smooth).save(buffer, "JPEG", quality=92)  # another encoder
    assert same_picture(Picture(buffer.getvalue()), smooth)
    painted = smooth.copy()
    painted[40:52, 60:72] = 255 - painted[40:52, 60:72]
    assert not same_picture(stored, painted)
    assert not same_picture(stored, np.ascontiguousarray(smooth[:, ::-1]))
    assert not same_picture(stored, smooth[:-1])
    grey = rng.integers(0, 256, (8, 8, 1), dtype=np.uint8)
    assert same_picture(Picture.from_pixels(grey), grey)


def test_a_model_of_another_precision_or_batch_size_passes(originals):
    folder, train = originals("protopnet")
    model = resemblance.load(folder)
    for size in (1, 24):
        subject = Finished(model, train).subject(batch_size=size)
        assert audit(subject).verdict == "passed"
        assert dataclasses.asdict(subject.settings)["batch_size"] == size
