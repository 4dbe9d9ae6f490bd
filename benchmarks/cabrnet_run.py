"""Measure a whole small training run of ours against cabrnet's, in seconds of CPU time.

    RESEMBLANCE_DATA=DIR CABRNET_PYTHON=FILE python benchmarks/cabrnet_run.py [--json FILE] [--only NAME ...]

DIR/mnist holds the four files of MNIST; FILE is an interpreter that has cabrnet (default: this one). Both commands do
the same work on the same 600 training and 100 test images, with cabrnet's encoder (ResNet-18, not pretrained), image
size (128 pixels), batches of 16 and kind of augmentation (but its change of colours): one epoch of joint training,
projection, an epoch of the last layer, pruning, another epoch of the last layer, and the test.
"""

from __future__ import annotations

import gzip
import os
import resource
import statistics
import struct
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

import numpy as np
import torch
import yaml
from timing import Measurement, print_table
from torchvision.models import resnet18

TRAIN, TEST, SIZE, BATCH = 600, 100, 128, 16

# Our recipe trains the last layer five times as long after pruning as before, cabrnet's as long.
OURS = """
import dataclasses, shutil, sys
from resemblance.cli.main import main
from resemblance.methods.protopnet.model import ProtoPNet

ours = ProtoPNet.recipe

def recipe(model):
    whole = ours(model)
    stages = (dataclasses.replace(stage, epochs=min(stage.epochs, 1)) for stage in whole.stages)
    return dataclasses.replace(whole, stages=tuple(stages))

ProtoPNet.recipe = recipe
shutil.rmtree("ours", ignore_errors=True)
shutil.rmtree("cache", ignore_errors=True)
sys.exit(main())
"""


def whole_run(quick: bool, *, augmented: bool) -> tuple[float, float]:
    """Both commands in turn: the median ratio, and the median seconds of theirs."""
    python = os.environ.get("CABRNET_PYTHON", sys.executable)
    if subprocess.run([python, "-c", "import cabrnet"], capture_output=True).returncode:
        raise ImportError("cabrnet", name="cabrnet")
    if "RESEMBLANCE_DATA" not in os.environ:
        raise ImportError(
            "RESEMBLANCE_DATA, the folder with mnist,", name="RESEMBLANCE_DATA, the folder with mnist,"
        )
    times: dict[str, list[float]] = {"ours": [], "theirs": []}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_mnist(Path(os.environ["RESEMBLANCE_DATA"]) / "mnist", folder / "data" / "MNIST" / "raw")
        write_configuration(folder, augmented=augmented)
        commands = {
            "ours": our_command(folder, augmented=augmented),
            "theirs": cabrnet_command(python),
        }
        for index in range(1 if quick else 3):
            for name in sorted(commands, reverse=index % 2 == 0):
                times[name].append(cpu_seconds(commands[name], folder))
    ratio = statistics.median(ours / theirs for ours, theirs in zip(*times.values(), strict=True))
    return ratio, statistics.median(times["theirs"])


def cpu_seconds(command: list[str], folder: Path) -> float:
    """Run a command in a folder; return the CPU time that it and its processes took."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    environment = {**os.environ, "RESEMBLANCE_CACHE": str(folder / "cache")}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(command[:4])} failed:\n{done.stderr[-2000:]}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def write_mnist(source: Path, target: Path) -> None:
    """Write the first images of MNIST in its own format."""
    target.mkdir(parents=True)
    for part, count in (("train", TRAIN), ("t10k", TEST)):
        for kind, header, item in (("images-idx3", 16, 784), ("labels-idx1", 8, 1)):
            with gzip.open(source / f"{part}-{kind}-ubyte.gz") as stream:
                head, data = stream.read(header), stream.read(count * item)
            head = head[:4] + struct.pack(">I", count) + head[8:]
            assert len(np.frombuffer(data, np.uint8)) == count * item
            (target / f"{part}-{kind}-ubyte").write_bytes(head + data)


def write_configuration(folder: Path, *, augmented: bool) -> None:
    """Write cabrnet's configuration of MNIST, without downloads."""
    prepare = {
        "convert": {"module": "cabrnet.core.utils.custom_preprocess", "type": "convert_to_rgb"},
        "resize": {"type": "Resize", "params": {"size": [SIZE, SIZE]}},
    }
    change = {
        "random_order": {
            "type": "RandomOrder",
            "transforms": {
                "rnd_perspective": {
                    "type": "RandomPerspective",
                    "params": {"distortion_scale": 0.5, "p": 0.5},
                },
                "hflip": {"module": "torchvision.transforms", "type": "RandomHorizontalFlip"},
                "affine": {"type": "RandomAffine", "params": {"degrees": 15, "shear": [-2, 2]}},
            },
        }
    }
    end = {
        "to_tensor": {"type": "ToTensor"},
        "normalize": {
            "type": "Normalize",
            "params": {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]},
        },
    }
    plain = {**prepare, **end}

    def part(train: bool, transform: object, *, shuffle: bool) -> dict[str, object]:
        parameters = {"root": "data", "download": False, "train": train, "transform": transform}
        module = {"module": "torchvision.datasets.mnist", "name": "MNIST"}
        return {**module, "params": parameters, "batch_size": BATCH, "shuffle": shuffle}

    files = {
        "dataset": {
            "train_set": part(True, {**prepare, **change, **end} if augmented else plain, shuffle=True),
            "projection_set": part(True, plain, shuffle=False),
            "test_set": part(False, plain, shuffle=False),
        },
        "model_arch": {
            "top_arch": {"module": "cabrnet.archs.protopnet.model", "name": "ProtoPNet"},
            "extractor": {
                "backbone": {"arch": "resnet18", "layer": "layer4", "weights": "weights.pth"},
                "add_on": {
                    "init_mode": "XAVIER",
                    "conv1": {
                        "type": "Conv2d",
                        "params": {"out_channels": 128, "kernel_size": 1, "bias": False},
                    },
                    "sigmoid1": {"type": "Sigmoid"},
                },
            },
            "similarity": {"name": "ProtoPNetSimilarity"},
            "classifier": {
                "module": "cabrnet.archs.protopnet.decision",
                "name": "ProtoPNetClassifier",
                "params": {"num_classes": 10, "num_proto_per_class": 10, "proto_init_mode": "SHIFTED_NORMAL"},
            },
        },
        "training": {
            "param_groups": {
                "backbone": "extractor.convnet",
                "add_on_layers": "extractor.add_on",
                "prototypes": "classifier.prototypes",
                "last_layer": "classifier.last_layer",
            },
            "optimizers": {
                "joint_optimizer": {
                    "type": "Adam",
                    "groups": {name: {"lr": 0.001} for name in ("backbone", "add_on_layers", "prototypes")},
                },
                "last_layer_optimizer": {"type": "Adam", "groups": {"last_layer": {"lr": 0.0001}}},
            },
            "num_epochs": 1,
            "periods": {"main_training": {"epoch_range": [0, 1], "optimizers": "joint_optimizer"}},
            "auxiliary_info": {
                "loss_coefficients": {"clustering": 0.8, "separability": -0.08, "regularization": 0.0001},
                "projection_config": {"start_epoch": 0, "frequency": 1, "num_ft_epochs": 1},
            },
            "epilogue": {"pruning_threshold": 3, "num_nearest_patches": 6, "num_fine_tuning_epochs": 1},
        },
    }
    torch.save(resnet18(weights=None).state_dict(), folder / "weights.pth")  # it reads nothing but a file
    for name, content in files.items():
        (folder / f"{name}.yml").write_text(yaml.safe_dump(content, sort_keys=False))


def cabrnet_command(python: str) -> list[str]:
    """Their command."""
    script = "from cabrnet.main import main; main()"
    files = ["--model-arch", "model_arch.yml", "--dataset", "dataset.yml", "--training", "training.yml"]
    return [python, "-c", script, "train", "--device", "cpu", *files, "--output-dir", "theirs", "--overwrite"]


def our_command(folder: Path, *, augmented: bool) -> list[str]:
    """Our command."""
    options = {
        "data": f"mnist:{folder / 'data' / 'MNIST' / 'raw'}",
        "output": "ours",
        "encoder": "torchvision/resnet18",
        "stem": "standard",
        "image-size": SIZE,
        "channels": 3,
        "batch-size": BATCH,
        "addon": "regular",
        "warm-epochs": 0,
        "joint-epochs": 1,
        "push-every": 1,
        "last-epochs": 1,
        "augment": "protopnet" if augmented else "none",
    }
    given = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    return [
        sys.executable,
        "-c",
        OURS,
        "train",
        "protopnet",
        *given,
        "--prune",
        "--no-report",
        "--no-progress",
    ]


MEASUREMENTS = {
    f"cabrnet-run{suffix}": Measurement(
        f"a whole small training{title} / cabrnet's", partial(whole_run, augmented=augmented), 0.5, how
    )
    for suffix, title, augmented, how in (
        ("", "", False, "600 images of MNIST at 128 px, CPU time"),
        ("-augmented", ", augmented,", True, "the same, with turned and skewed images"),
    )
}


if __name__ == "__main__":
    print_table(MEASUREMENTS, __doc__)
