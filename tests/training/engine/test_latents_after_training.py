"""After the last change of the encoder it reads each image once; the results are those of reading the images again."""

from __future__ import annotations

import pytest
import torch

import resemblance
from cases import digits, made
from frozen import counting_images
from resemblance.config.training import TrainConfig
from resemblance.training.cached.frozen_encoder import FrozenEncoder
from resemblance.training.cached.temporary_latents import TemporaryLatents
from resemblance.training.engine.fit import fit
from stopping import Stop, stopping
from tiny import same

TRAIN, VAL = 96, 40
SMALL = {
    "prototypes_per_class": 2,
    "prototype_depth": 8,
    "joint_epochs": 1,
    "warm_epochs": 1,
    "last_epochs": 2,
}
OPTIONS = {"seed": 3, "accelerator": "cpu", "batch_size": 32, "progress": False}


def protopnet(seed=0):
    torch.manual_seed(seed)
    return made("protopnet", encoder="small", prune=True, **SMALL)


def train(model, run, **options):
    return fit(model, digits(TRAIN, VAL), run, TrainConfig(**{**OPTIONS, **options}))


@pytest.mark.parametrize("options", [{}, {"refit_on_all": True}, {"precision": "bf16-mixed"}])
def test_the_result_is_that_of_reading_the_images_again_to_the_bit(options, tmp_path):
    kept, read = protopnet(), protopnet()
    with counting_images() as few:
        result = train(kept, tmp_path / "kept", **options)
    with counting_images() as many:
        expected = train(read, tmp_path / "read", latent_cache=0.0, **options)
    assert sum(few) < sum(many) - 2 * TRAIN
    assert same(kept, read)
    assert result.notes == expected.notes
    assert [row.get("val/loss") for row in result.history] == [
        row.get("val/loss") for row in expected.history
    ]


def test_a_whole_run_reads_each_image_once_after_joint_training(tmp_path):
    """Projection, two trainings of the last layer, pruning, usage, class means and the measurement."""
    splits, options = digits(TRAIN, VAL), {**OPTIONS, **SMALL, "prune": True, "report": False}
    with counting_images() as counts:
        resemblance.train("protopnet", splits, tmp_path / "run", encoder="small", image_size=16, **options)
    training = 2 * TRAIN + VAL * 2  # two epochs, each with its validation
    tests = sum(1 for count in counts if count <= 2)
    large = [count for count in counts if count > 2]
    assert sum(large) == training + TRAIN + VAL
    assert tests < 12


def test_every_checkpoint_resumes_to_the_same_bits(tmp_path):
    whole = protopnet()
    with stopping() as written:
        expected = train(whole, tmp_path / "whole")
    for stop in range(2, len(written), 2):
        run = tmp_path / str(stop)
        with stopping(stop), pytest.raises(Stop):
            train(protopnet(), run)
        resumed = protopnet(seed=1)
        result = train(resumed, run, resume=True)
        assert same(resumed, whole), stop
        assert result.history == expected.history or len(result.history) == len(expected.history)


@pytest.mark.parametrize("change", ["data", "buffer"])
def test_latents_of_other_weights_are_never_read(change):
    """Also of those that are changed behind PyTorch's back."""
    model, source = protopnet().eval(), digits(TRAIN, VAL).train
    latents = TemporaryLatents(1, batch=32)
    before = FrozenEncoder(model, latents).encode(source).__getitems__([0, 5]).encoded
    if change == "data":
        next(model.encoder.parameters()).data.mul_(1.01)
    else:
        buffers = dict(model.encoder.named_buffers())
        next(buffers[name] for name in buffers if name.endswith("running_mean")).add_(0.01)
    with counting_images() as counts:
        after = FrozenEncoder(model, latents).encode(source).__getitems__([0, 5]).encoded
    assert sum(counts) == TRAIN + 2
    assert not torch.equal(before, after)
