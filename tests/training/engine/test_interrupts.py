"""Ctrl-C, SIGTERM and SIGHUP stop training with a checkpoint, and no signal is lost."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import lingering
from lingering import Lingering
from resemblance.data.dataset import ImageDataset
from resemblance.data.loader import loader
from resemblance.data.stopping import stop_if_requested
from resemblance.training.engine import interrupts
from resemblance.training.engine.checkpoints import load_checkpoint
from resemblance.training.engine.interrupts import Interrupted, Interrupts
from tiny import SPEC, digits, same

TESTS = Path(__file__).parents[2]
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
pytestmark = pytest.mark.skipif(os.name != "posix", reason="POSIX signals")


@pytest.fixture(autouse=True)
def signals_not_ignored() -> Iterator[None]:
    """Receive the signals even if the tests were started by ``nohup``, which ignores SIGHUP."""
    ignored = [number for number in SIGNALS if signal.getsignal(number) is signal.SIG_IGN]
    for number in ignored:
        signal.signal(number, signal.SIG_DFL)
    yield
    for number in ignored:
        signal.signal(number, signal.SIG_IGN)


@pytest.fixture(scope="module")
def reference(tmp_path_factory) -> Lingering:
    """The model of a run that was never stopped."""
    return lingering.train(tmp_path_factory.mktemp("whole") / "run")


def start(*command: object, **options) -> subprocess.Popen[str]:
    paths = [str(TESTS), str(TESTS.parent / "src"), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"}
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen([str(part) for part in command], env=environment, **streams, **options)


def start_training(folder: Path, place: str, workers: int = 0, devices: int = 1) -> subprocess.Popen[str]:
    """Train in another process, which leads a group of processes, and wait until it is at the place."""
    script = TESTS / "lingering.py"
    process = start(sys.executable, script, folder, place, workers, devices, start_new_session=True)
    for line in process.stdout:
        if line == "ready\n":
            return process
    pytest.fail(process.stderr.read())


def exists(group: int) -> bool:
    """Return whether a process of the group is left."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


# Within this process.


@pytest.mark.parametrize("place", ["step", "validation", "pass"])
@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_stops_and_the_run_resumes_to_the_same_weights(
    number, place, reference, tmp_path, monkeypatch
):
    calls = []

    def linger(model, where):
        calls.append(where)
        if calls.count(place) == 8 and where == place:
            send(number)

    handlers = [signal.getsignal(number) for number in SIGNALS]
    monkeypatch.setattr(Lingering, "linger", linger)
    with pytest.raises(Interrupted, match="--resume") as caught:
        lingering.train(tmp_path)
    assert caught.value.exit_code == 128 + number
    assert [signal.getsignal(number) for number in SIGNALS] == handlers
    assert calls.count(place) == 8  # at once: not a step or batch more
    if place == "step":
        assert load_checkpoint(tmp_path / "checkpoints" / "stage.ckpt")["resemblance"]["step"] == 8
    assert same(lingering.train(tmp_path, resume=True), reference)


def send(*numbers: int) -> None:
    for number in numbers:
        os.kill(os.getpid(), number)


def test_a_signal_is_remembered_where_an_exception_would_be_lost():
    def work():
        with Interrupts("stopped") as active:
            try:
                send(signal.SIGTERM)
            except BaseException:  # as Python does in the callbacks of a fork
                pytest.fail("raised where it can be lost")
            assert active.requested
            stop_if_requested()
            pytest.fail("a safe place, and training goes on")

    with pytest.raises(Interrupted):
        work()
    stop_if_requested()  # nothing is left of it


def test_the_second_signal_raises_at_once(monkeypatch):
    def work():
        with Interrupts("stopped"):
            send(signal.SIGTERM, signal.SIGHUP)  # at the same time: the same request
            monkeypatch.setattr(interrupts, "SAME_REQUEST", -1.0)
            send(signal.SIGINT)
            pytest.fail("the second signal raised nothing")

    with pytest.raises(Interrupted) as caught:
        work()
    assert caught.value.exit_code == 143


def test_a_signal_that_nothing_looked_for_raises_at_the_end():
    with pytest.raises(Interrupted), Interrupts("stopped"):
        send(signal.SIGTERM)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (SystemExit(), Interrupted),  # Lightning's own handler
        (RuntimeError("DataLoader worker (pid 7) is killed by signal: Terminated."), Interrupted),
        (RuntimeError("out of memory"), RuntimeError),
    ],
)
def test_errors_that_a_signal_caused_are_told_from_others(error, expected):
    def work(*numbers):
        with Interrupts("stopped"):
            send(*numbers)
            raise error

    with pytest.raises(expected):
        work(signal.SIGTERM)
    with pytest.raises(type(error)):
        work()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_ignored_signals_stay_ignored(number):
    previous = signal.signal(number, signal.SIG_IGN)
    try:
        with Interrupts("stopped") as active:
            send(number)
            assert not active.requested
        assert signal.getsignal(number) is signal.SIG_IGN
    finally:
        signal.signal(number, previous)


def test_handlers_are_set_in_the_main_thread_only():
    handlers = []

    def work():
        with Interrupts("stopped"):
            handlers.extend(signal.getsignal(number) for number in SIGNALS)

    before = [signal.getsignal(number) for number in SIGNALS]
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert handlers == before


def test_loader_processes_survive_the_signals_of_their_group():
    batches = iter(loader(ImageDataset(digits().train, SPEC.image), 16, workers=1))
    first = next(batches)
    children = Path(f"/proc/self/task/{threading.get_native_id()}/children")
    if not children.exists():
        pytest.skip("needs /proc to find the processes")
    for child in children.read_text().split():
        for number in SIGNALS:
            os.kill(int(child), number)
    assert len(first.labels) + sum(len(batch.labels) for batch in batches) == 320


# In a process of its own.


@pytest.mark.nightly
@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize(("workers", "devices"), [(0, 1), (2, 1), (0, 2)])
@pytest.mark.parametrize("place", ["step", "validation", "pass"])
def test_a_process_stops_and_is_resumed(number, place, workers, devices, reference, tmp_path):
    """The whole group of processes gets the signal: the loaders and the processes of other devices, too."""
    process = start_training(tmp_path, place, workers, devices)
    os.killpg(process.pid, number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 128 + number, errors
    assert errors == f"stopped; to continue the run, repeat the command with --resume ({tmp_path})\n"
    if devices == 1:
        if place == "step":
            assert load_checkpoint(tmp_path / "checkpoints" / "stage.ckpt")["resemblance"]["step"] == 8
        assert same(lingering.train(tmp_path, resume=True), reference)


@pytest.mark.nightly
@pytest.mark.parametrize("number", SIGNALS)
def test_a_process_alone_stops_the_others(number, tmp_path):
    process = start_training(tmp_path, "step", devices=2)
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors.count("\n")) == (128 + number, 1), errors
    load_checkpoint(tmp_path / "checkpoints" / "run.ckpt")
    end = time.monotonic() + 10  # Python's resource tracker ends a moment later
    while exists(process.pid) and time.monotonic() < end:
        time.sleep(0.1)
    assert not exists(process.pid)


@pytest.mark.nightly
@pytest.mark.parametrize("devices", [1, 2])
def test_a_second_signal_ends_a_process_at_once(devices, reference, tmp_path):
    process = start_training(tmp_path, "pass", devices=devices)
    process.send_signal(signal.SIGTERM)
    time.sleep(1.0)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=10) == 143
    if devices == 1:
        assert same(lingering.train(tmp_path, resume=True), reference)


@pytest.mark.nightly
@pytest.mark.parametrize("number", SIGNALS)
def test_the_command_says_how_to_go_on(number, tmp_path):
    """Under `nohup`, SIGHUP changes nothing and SIGTERM stops as ever."""
    command = [
        sys.executable,
        "-m",
        "resemblance",
        "train",
        "blackbox",
        "--data",
        "digits",
        "--encoder",
        "small",
    ]
    command += ["--epochs", "60", "--workers", "2", "--no-progress", "--no-report", "--output", "run"]
    nohup = shutil.which("nohup") if number == signal.SIGHUP else None
    process = start(*([nohup] if nohup else []), *command, cwd=tmp_path)
    rows = tmp_path / "run" / "logs" / "metrics.csv"
    while process.poll() is None and not (rows.exists() and rows.stat().st_size):
        time.sleep(0.1)
    process.send_signal(number)
    if nohup:
        time.sleep(2)
        assert process.poll() is None
        number = signal.SIGTERM
        process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 128 + number, errors
    assert errors.endswith(
        "resemblance: stopped; to continue the run, repeat the command with --resume (run)\n"
    )
    assert (tmp_path / "run" / "checkpoints" / "stage.ckpt").exists()
