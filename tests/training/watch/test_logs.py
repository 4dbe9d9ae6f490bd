import csv
import io

from rich.console import Console

from resemblance.training.watch.bar import RunBar
from resemblance.training.watch.logs import RunLog


def rows(folder):
    with (folder / "metrics.csv").open() as file:
        return list(csv.DictReader(file))


def test_rows_after_the_checkpoint_are_written_again(tmp_path):
    log = RunLog(tmp_path)
    history = []
    for epoch in range(1, 4):
        history.append({"epoch": epoch, "step": 10 * epoch, "train/loss": 1 / epoch})
        log.epoch(history[-1])
    log.close()
    log = RunLog(tmp_path, history[:2], step=20)
    assert [row["epoch"] for row in rows(tmp_path)] == ["1", "2"]
    log.epoch({"epoch": 3, "step": 30, "train/loss": 0.5, "train/new": 1.0})
    log.close()
    assert [row["epoch"] for row in rows(tmp_path)] == ["1", "2", "3"]
    assert rows(tmp_path)[0]["train/new"] == ""

    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    board = EventAccumulator(str(tmp_path / "tensorboard"))
    board.Reload()
    points = [(event.step, round(event.value, 3)) for event in board.Scalars("train/loss")]
    assert points == [(10, 1.0), (20, 0.5), (30, 0.5)]


def test_a_spreadsheet_runs_no_cell(tmp_path):
    formula = "=HYPERLINK(1)"
    log = RunLog(tmp_path, [{"epoch": 1, "step": 1, "stage": formula, "-1+1": -0.5}])
    log.epoch({"epoch": 2, "step": 2, "stage": "@sum", "-1+1": 0.5})
    log.close()
    assert [row["stage"] for row in rows(tmp_path)] == [f"'{formula}", "'@sum"]
    assert [row["'-1+1"] for row in rows(tmp_path)] == ["-0.5", "0.5"]


def test_estimate(monkeypatch):
    now = {"time": 0.0}
    monkeypatch.setattr("resemblance.training.watch.bar.time.monotonic", lambda: now["time"])
    out = io.StringIO()
    bar = RunBar(1000, 30, console=Console(file=out, width=100))
    for seconds in (3.0, 0.5, 0.5):
        now["time"] += seconds
        bar.step()
    assert out.getvalue() == "about 8 minutes for 30 epochs\n"
    bar.step()
    assert out.getvalue().count("about") == 1


def test_fast_steps_do_not_count(monkeypatch):
    now = {"time": 0.0}
    monkeypatch.setattr("resemblance.training.watch.bar.time.monotonic", lambda: now["time"])
    out = io.StringIO()
    bar = RunBar(2000, 30, console=Console(file=out, width=100), fast=1000)
    bar.is_fast = True
    for _ in range(600):
        now["time"] += 0.001
        bar.step()
    assert out.getvalue() == ""
    bar.is_fast = False
    bar.skip_to(600)
    for seconds in (3.0, 0.5, 0.5):
        now["time"] += seconds
        bar.step()
    assert out.getvalue() == "about 8 minutes for 30 epochs\n"


def test_short_runs_have_no_estimate(capsys):
    bar = RunBar(1000, 30)
    for _ in range(10):
        bar.step()
    bar.pause()
    assert capsys.readouterr() == ("", "")
