"""Convert, evaluate and audit on two CPU processes: the same as on one."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from cases import made
from resemblance import audit, convert, evaluate, open_run, train
from resemblance.config.errors import UserError
from resemblance.training.devices.launch import using_devices
from resemblance.training.devices.pool import DevicePool
from tiny import digits, same

FOLDER = ("config.yaml", "metrics.json", "model")


def everything(folder: Path, devices: int) -> tuple[Any, ...]:
    """Convert a network, evaluate it and audit it; return the model and all numbers."""
    several = {"devices": devices, "accelerator": "cpu", "batch_size": 16}
    images = digits(90, 40)
    network = made("blackbox")
    run = convert(network, images, folder, force=True, latent_cache=0, **several)
    metrics = json.loads((folder / "metrics.json").read_text())
    plain = evaluate(run, split="val", **several)
    measured = run.evaluate(metrics=("accuracy", "ghosting", "sensitivity"), split="val", **several)
    audited = audit(run, checks=("provenance", "certificate", "nonsense"), split="val", images=20, **several)
    numbers = {
        "metrics": {name: value for name, value in metrics.items() if name != "seconds"},
        "plain": plain.to_dict(),
        "measured": measured.to_dict(),
        "audited": audited.to_dict(),
    }
    return run.model, json.dumps(numbers), {path.name for path in folder.iterdir()}


def test_two_processes_have_the_results_of_one(tmp_path, monkeypatch):
    passes = []
    divide = DevicePool.map
    monkeypatch.setattr(DevicePool, "map", lambda *arguments: passes.append(arguments) or divide(*arguments))
    model, numbers, files = everything(tmp_path / "one" / "run", 1)
    assert not passes
    with using_devices("cpu", 2):  # one second process for all of it
        other, other_numbers, other_files = everything(tmp_path / "two" / "run", 2)
    assert len(passes) > 8
    assert same(model, other)
    assert other_numbers == numbers
    assert files == other_files == set(FOLDER)


def test_devices_that_are_not_there_are_refused(tmp_path):
    if not torch.cuda.is_available():
        with pytest.raises(UserError, match="no GPU"):
            convert(made("blackbox"), digits(), tmp_path, accelerator="gpu", devices=2)
    with pytest.raises(UserError, match="at least 1"):
        convert(made("blackbox"), digits(), tmp_path, devices=0)


def start(*words: str, launcher: tuple[str, ...] = (), **keywords: Any) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, *launcher, "-m", "resemblance", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        **keywords,
    )


@pytest.mark.slow
def test_processes_of_torchrun_have_the_results_of_one(tmp_path):
    torchrun = ("-m", "torch.distributed.run", "--nproc-per-node", "2")
    convert(made("blackbox"), digits(90, 40), tmp_path / "kmex", force=True)
    words = ("convert", "timm/resnet18", "--data", "digits", "--image-size", "32", "--force", "--no-report")
    words = (
        "convert",
        str(tmp_path / "kmex"),
        "--data",
        "digits",
        "--force",
        "--no-report",
        "--latent-cache",
        "0",
    )
    for name, launcher in (("one", ()), ("two", torchrun)):
        process = start(*words, "--accelerator", "cpu", "--output", str(tmp_path / name), launcher=launcher)
        out, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
        assert out.count("run folder: ") == 1
    assert {path.name for path in (tmp_path / "two").iterdir()} == set(FOLDER)
    assert same(open_run(tmp_path / "one").model, open_run(tmp_path / "two").model)
    process = start(*words, "--output", str(tmp_path / "two"), launcher=torchrun)
    assert process.communicate(timeout=120)[1].count("already holds a run") == 1


@pytest.mark.slow
def test_processes_of_torchrun_train_as_several_devices_do(tmp_path):
    """Two agents stand for two machines."""
    words = ("train", "protopnet", "--data", "digits", "--encoder", "small", "--no-report")
    words += ("--epochs", "1", "--batch-size", "320", "--accelerator", "cpu", "--output")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        meeting = ("--master-addr", "127.0.0.1", "--master-port", str(probe.getsockname()[1]))
    agents = [
        start(
            *(*words, str(tmp_path / "machines")),
            launcher=("-m", "torch.distributed.run", "--nnodes", "2", "--node-rank", str(node), *meeting),
        )
        for node in range(2)
    ]
    outputs = [agent.communicate(timeout=300) for agent in agents]
    assert [agent.returncode for agent in agents] == [0, 0], outputs
    assert [out.count("run folder: ") for out, _ in outputs].count(1) == 1
    one = start(*words, str(tmp_path / "one"), "--devices", "2")
    assert one.communicate(timeout=300)[0]
    assert same(open_run(tmp_path / "one").model, open_run(tmp_path / "machines").model)


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "killpg"), reason="Windows has no groups of processes")
def test_ctrl_c_ends_all_processes_with_one_line(tmp_path):
    train("blackbox", "digits", tmp_path / "blackbox", encoder="small", epochs=1)
    words = ("convert", str(tmp_path / "blackbox"), "--force", "--latent-cache", "0")
    process = start(
        *words,
        "--batch-size",
        "1",
        "--devices",
        "2",
        "--output",
        str(tmp_path / "two"),
        start_new_session=True,
    )
    assert process.stdout is not None
    process.stdout.readline()  # it has begun
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err.splitlines()[-1] == "resemblance: interrupted"
    assert "Traceback" not in err
    assert not (tmp_path / "two").exists()
