"""Real data, where there is some; every method trained, once; and commands in this process."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest
import torch

from cases import OPTIONS, made, train
from commanding import Command
from resemblance.cli.main import main
from resemblance.core.classifier import Classifier
from resemblance.training.engine.fit import FitResult
from stopping import stopping


@pytest.fixture(scope="session", autouse=True)
def share_cores() -> Iterator[None]:
    """Divide the cores among the processes of ``pytest -n`` and what they start, lest threads wait for each other."""
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    with pytest.MonkeyPatch.context() as patch:
        if workers > 1:
            threads = max(1, (os.cpu_count() or 1) // workers)
            torch.set_num_threads(threads)
            patch.setenv("OMP_NUM_THREADS", str(threads))
        yield


@pytest.fixture(scope="session")
def real_data() -> Callable[[str], Path]:
    """The folder of a real data set, such as ``mnist``; the test is skipped where there is none."""
    beside = Path(__file__).resolve().parents[1].parent / "shared" / "data"
    root = Path(os.environ.get("RESEMBLANCE_DATA", beside))

    def find(name: str) -> Path:
        if not (root / name).is_dir():
            pytest.skip(f"no real data {name!r}; RESEMBLANCE_DATA names the folder that holds it")
        return root / name

    return find


@pytest.fixture(scope="session", autouse=True)
def latent_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder for kept latents instead of the user's, also in processes that tests start."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RESEMBLANCE_CACHE", str(folder))
        yield folder


class Trained(NamedTuple):
    """A trained model, the result of its training, and how many checkpoints were written."""

    model: Classifier
    result: FitResult
    writes: int


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Trained]:
    """The model of a method's case, trained once for all tests; a test that changes it takes a copy."""

    @cache
    def whole(method: str) -> Trained:
        model = made(method)
        with stopping() as written:
            result = train(model, tmp_path_factory.mktemp(method) / "run", **OPTIONS)
        return Trained(model, result, len(written))

    return whole


@pytest.fixture(scope="module")
def show_traces() -> Iterator[None]:
    """Show the trace of an error that nobody expected."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RESEMBLANCE_DEBUG", "1")
        yield


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Command:
    """Return a function that runs a command and returns its exit code, standard output and error stream."""
    capsys.readouterr()

    def run(*arguments: object) -> tuple[int, str, str]:
        code = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run
