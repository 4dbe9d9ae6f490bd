"""``resemblance demo``: everything once, by the commands that anybody can type."""

from __future__ import annotations

import shlex
import shutil
import time
from pathlib import Path
from typing import Any

from resemblance.commands.convert import convert
from resemblance.commands.finish import Finished
from resemblance.commands.report import report
from resemblance.commands.runs import CONFIG, writable
from resemblance.commands.screen import Screen, screen, share
from resemblance.commands.train import train
from resemblance.config.commands import ConvertCommand, DemoCommand, ReportCommand, TrainCommand
from resemblance.config.methods.base import MethodConfig
from resemblance.config.methods.blackbox import BlackBoxConfig
from resemblance.config.methods.protopnet import ProtoPNetConfig
from resemblance.data.progress import duration

RUNS = ("blackbox", "kmex", "kmex-patches", "protopnet")
EXPLAINED = 8


def run(options: DemoCommand) -> int:
    """Train a black box, convert it twice, train a ProtoPNet, compare them in a table and a report."""
    started = time.monotonic()
    with screen(options.json) as out:
        folder = options.output
        writable(folder)
        _clear(folder)
        black_box, kmex, patches, protopnet = (folder / name for name in RUNS)
        out.say("The embedded digits: 1797 handwritten digits of scikit-learn. Four models, one report.")
        seed = options.seed
        finished = [
            _train("blackbox", BlackBoxConfig(encoder="small"), black_box, seed, out, epochs=15),
            _convert(ConvertCommand(model=str(black_box), output=kmex, seed=seed), out),
            _convert(ConvertCommand(model=str(black_box), patches=True, output=patches, seed=seed), out),
            _train("protopnet", _small_protopnet(), protopnet, seed, out),
        ]
        runs = [str(path) for path in (black_box, kmex, patches, protopnet)]
        _announce(out, "report", *runs)
        page = report(
            ReportCommand(
                runs=runs,
                output=folder / "report.html",
                explain=EXPLAINED,
                seed=seed,
                title="Four ways to tell digits",
            ),
            out,
        )
        rows = _rows(finished)
        out.say()
        out.table(("model", "test accuracy", "gap to the black box", "prototypes used"), _shown(rows))
        out.say()
        out.say(f"Done in {duration(time.monotonic() - started)}. Open the report: {page.resolve()}")
        out.result({"report": str(page), "models": rows})
    return 0


def _small_protopnet() -> ProtoPNetConfig:
    return ProtoPNetConfig(
        encoder="small",
        prototypes_per_class=5,
        prototype_depth=64,
        warm_epochs=2,
        joint_epochs=10,
        push_every=12,
        last_epochs=5,
    )


def _train(
    name: str, method: MethodConfig, folder: Path, seed: int, out: Screen, epochs: int | None = None
) -> Finished:
    words = ["--data", "digits", "--output", str(folder)]
    words += [] if epochs is None else ["--epochs", str(epochs)]
    for key, value in vars(method).items():
        if value != getattr(type(method)(), key):
            words += [f"--{key.replace('_', '-')}", str(value)]
    _announce(out, "train", name, *words)
    options = TrainCommand(data="digits", output=folder, seed=seed, epochs=epochs)
    options.name, options.method = name, method
    return train(options, out)


def _convert(options: ConvertCommand, out: Screen) -> Finished:
    words = [options.model, *(["--patches"] if options.patches else []), "--output", str(options.output)]
    _announce(out, "convert", *words)
    return convert(options, out)


def _announce(out: Screen, *words: str) -> None:
    out.say()
    out.say(f"$ {shlex.join(['resemblance', *words])}")


def _rows(finished: list[Finished]) -> list[dict[str, Any]]:
    reference = finished[0].evaluations["test"].accuracy
    rows = []
    for one in finished:
        prototypes = one.run.model.prototypes
        count = None if prototypes is None else len(prototypes)
        accuracy = one.evaluations["test"].accuracy
        rows.append(
            {
                "model": one.run.name,
                "accuracy": accuracy,
                "gap": reference - accuracy,
                "prototypes": count,
                "used": None if prototypes is None or count is None else count - len(prototypes.unused()),
            }
        )
    return rows


def _shown(rows: list[dict[str, Any]]) -> list[tuple[str, ...]]:
    return [
        (
            row["model"],
            share(row["accuracy"]),
            "" if number == 0 else f"{100 * row['gap']:+.2f} points",
            "" if row["prototypes"] is None else f"{row['used']} of {row['prototypes']}",
        )
        for number, row in enumerate(rows)
    ]


def _clear(folder: Path) -> None:
    """Remove the runs of an earlier demo, which has nothing that cannot be made again."""
    for name in RUNS:
        config = folder / name / CONFIG
        if config.is_file() and "data: digits" in config.read_text(encoding="utf-8"):
            shutil.rmtree(folder / name)
