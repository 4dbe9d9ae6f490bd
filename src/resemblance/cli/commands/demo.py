"""``resemblance demo``: everything once, by the commands that anybody can type."""

from __future__ import annotations

import shlex
import shutil
import time
from dataclasses import fields
from pathlib import Path
from typing import Any

from resemblance.cli.commands.convert import convert
from resemblance.cli.commands.report import report
from resemblance.cli.commands.train import train
from resemblance.cli.console import Screen, screen, share
from resemblance.config.commands import ConvertCommand, DemoCommand, ReportCommand, TrainCommand
from resemblance.config.method import MethodConfig
from resemblance.config.values import flag
from resemblance.core.prototype_model import prototypes_of
from resemblance.data.progress import duration
from resemblance.methods.blackbox.config import BlackBoxConfig
from resemblance.methods.protopnet.config import ProtoPNetConfig
from resemblance.runs.finish import Finished
from resemblance.runs.run import CONFIG, MODEL, check_writable

RUNS = ("blackbox", "kmex", "kmex-patches", "protopnet")
EXPLAINED = 8


def run(options: DemoCommand) -> int:
    """Train a black box, convert it twice, train a ProtoPNet, compare them in a table and a report."""
    started = time.monotonic()
    with screen(options.json) as out:
        folder = options.output
        check_writable(folder)
        _clear(folder)
        black_box, kmex, patches, protopnet = (folder / name for name in RUNS)
        out.say("The embedded digits: 1797 handwritten digits of scikit-learn. Four models, one report.")
        seed = options.seed
        small, digits = BlackBoxConfig(encoder="small"), "digits"
        finished = [
            _train("blackbox", small, TrainCommand(data=digits, output=black_box, seed=seed, epochs=15), out),
            _convert(ConvertCommand(model=str(black_box), output=kmex, seed=seed), out),
            _convert(ConvertCommand(model=str(black_box), output=patches, seed=seed, patches=True), out),
            _train(
                "protopnet",
                _small_protopnet(black_box),
                TrainCommand(data=digits, output=protopnet, seed=seed, batch_size=16),
                out,
            ),
        ]
        runs = [str(path) for path in (black_box, kmex, patches, protopnet)]
        _announce(out, "report", *runs, "--output", str(folder / "report.html"))
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


def _small_protopnet(black_box: Path) -> ProtoPNetConfig:
    """The paper's stages, shortened; as there, the encoder comes trained, here as part of the black box."""
    return ProtoPNetConfig(
        encoder="small",
        weights=str(black_box / MODEL / "model.safetensors"),
        prototypes_per_class=5,
        prototype_depth=64,
        warm_epochs=5,
        joint_epochs=8,
        push_every=13,
        last_epochs=10,
    )


def _train(name: str, method: MethodConfig, options: TrainCommand, out: Screen) -> Finished:
    options.name, options.method = name, method
    _announce(out, "train", name, *_words(options, TrainCommand(data="")), *_words(method, type(method)()))
    return train(options, out)


def _convert(options: ConvertCommand, out: Screen) -> Finished:
    _announce(out, "convert", options.model, *_words(options, ConvertCommand(model=options.model)))
    return convert(options, out)


def _words(options: Any, default: Any) -> list[str]:
    """The options that differ from the defaults, as they are typed."""
    words = []
    for item in fields(options):
        value = getattr(options, item.name)
        if "help" in item.metadata and value != getattr(default, item.name):
            words += [flag(item.name)] if value is True else [flag(item.name), str(value)]
    return words


def _announce(out: Screen, *words: str) -> None:
    out.say()
    out.say(f"$ {shlex.join(['resemblance', *words])}")


def _rows(finished: list[Finished]) -> list[dict[str, Any]]:
    reference = finished[0].evaluations["test"].accuracy
    rows = []
    for one in finished:
        prototypes = prototypes_of(one.run.model)
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
