"""``resemblance demo``: train, convert, explain, report and audit once, and show the commands for it."""

from __future__ import annotations

import shlex
import shutil
import time
from pathlib import Path
from typing import Any

from resemblance.api import convert, train
from resemblance.auditing import audit
from resemblance.cli.console import Screen, screen
from resemblance.config.commands import DemoCommand
from resemblance.config.values import flag
from resemblance.core.prototype_model import prototypes_of
from resemblance.data.progress import duration
from resemblance.data.text import share
from resemblance.finished_run import Run
from resemblance.report.run_pages import report
from resemblance.runs.audited_run import RunAudit
from resemblance.runs.folders import AUDIT, AUDIT_DOCUMENT, AUDIT_PAGE, CONFIG, MODEL, check_writable

RUNS = ("blackbox", "kmex", "kmex-patches", "protopnet")
SIDE = 16  # pixels: at twice the size of the digits a part is a stroke; at 32 pixels it is a blur
NO_REPORT = "--no-report"  # one report is written at the end
EXPLAINED = 8
AUDITED = ("kmex", "protopnet")
SHORT_AUDIT: dict[str, Any] = {
    "images": 60,
    "attacked": 8,
    "steps": 10,
    "checks": ("provenance", "nonsense", "shifts", "head-on-stomach", "other-prototype"),
}


def run(options: DemoCommand) -> int:
    """Train a black box, convert it twice, train a ProtoPNet, compare them in a table and a report, audit two."""
    started = time.monotonic()
    with screen(options.json) as out:
        folder = options.output
        check_writable(folder)
        _clear(folder)
        black_box, kmex, patches, protopnet = (folder / name for name in RUNS)
        out.say("The embedded digits: 1797 handwritten digits of scikit-learn. Four models, one report.")
        shared = {"seed": options.seed, "progress": True}
        runs = [
            _train("blackbox", black_box, out, **shared, encoder="small", image_size=SIDE, epochs=15),
            _convert(black_box, kmex, out, **shared),
            _convert(black_box, patches, out, **shared, patches=True),
            _train("protopnet", protopnet, out, **shared, **_small_protopnet(black_box)),
        ]
        audits = [_audit(run, out) for run in runs if run.name in AUDITED]  # the report has their verdicts
        page = folder / "report.html"
        _announce(out, "report", *[str(run.folder) for run in runs], "--output", str(page))
        report(
            runs,
            page,
            title="Four models of handwritten digits",
            explain=EXPLAINED,
            seed=options.seed,
            messages=out,
        )
        out.say(f"report: {page}")
        rows = _rows(runs)
        out.say()
        out.table(("model", "test accuracy", "gap to the black box", "prototypes used"), _shown(rows))
        out.say()
        out.table(("audit", "check", "verdict"), _verdicts(audits))
        out.say()
        out.say(f"Done in {duration(time.monotonic() - started)}. Open the report: {page.resolve()}")
        out.result({"report": str(page), "models": rows, "audits": _documents(audits)})
    return 0


def _small_protopnet(black_box: Path) -> dict[str, Any]:
    """Return the options for shortened stages; as in the paper, the encoder is trained: it is the black box's."""
    return {
        "batch_size": 16,
        "encoder": "small",
        "image_size": SIDE,
        "weights": str(black_box / MODEL / "model.safetensors"),
        "prototypes_per_class": 5,
        "prototype_depth": 64,
        "separation": 0.4,  # at the paper's 0.08, 14 % of the parts are background; here 6 %
        "warm_epochs": 5,
        "joint_epochs": 8,
        "push_every": 13,
        "last_epochs": 10,
    }


def _train(method: str, folder: Path, out: Screen, **options: Any) -> Run:
    _announce(out, "train", method, "--data", "digits", "--output", str(folder), *_words(options), NO_REPORT)
    return train(method, "digits", folder, messages=out, **options)


def _convert(model: Path, folder: Path, out: Screen, **options: Any) -> Run:
    _announce(out, "convert", str(model), "--output", str(folder), *_words(options), NO_REPORT)
    return convert(model, output=folder, messages=out, **options)


def _audit(run: Run, out: Screen) -> RunAudit:
    """Run some checks on few images; an audit of a model in use takes more of both."""
    assert run.folder is not None
    _announce(out, "audit", str(run.folder), *_words(SHORT_AUDIT))
    result = audit(run, output=run.folder / AUDIT, progress=True, **SHORT_AUDIT)
    out.say(f"audit: {run.folder / AUDIT / AUDIT_PAGE}")
    return result


def _verdicts(audits: list[RunAudit]) -> list[tuple[str, str, str]]:
    return [
        (one.run.name, finding.title, finding.verdict) for one in audits for finding in one.result.findings
    ]


def _documents(audits: list[RunAudit]) -> list[dict[str, Any]]:
    """Return where the documents of the audits are, with the verdicts in short."""
    return [
        {
            "model": one.run.name,
            "document": str((one.run.folder or Path()) / AUDIT / AUDIT_DOCUMENT),
            "verdicts": {finding.check: finding.verdict for finding in one.result.findings},
        }
        for one in audits
    ]


def _words(options: dict[str, Any]) -> list[str]:
    """Return the options as words of the command line, without defaults."""
    words = []
    for name, value in options.items():
        if name == "progress" or (name, value) == ("seed", 0):
            continue
        if isinstance(value, bool):
            words.append(flag(name if value else f"no-{name}"))
        else:
            words += [flag(name), ",".join(value) if isinstance(value, tuple) else str(value)]
    return words


def _announce(out: Screen, *words: str) -> None:
    out.say()
    out.say(f"$ {shlex.join(['resemblance', *words])}")


def _rows(runs: list[Run]) -> list[dict[str, Any]]:
    black_box = runs[0].metrics["test"]["accuracy"]
    rows = []
    for run in runs:
        prototypes = prototypes_of(run.model)
        count = None if prototypes is None else len(prototypes)
        accuracy = run.metrics["test"]["accuracy"]
        rows.append(
            {
                "model": run.name,
                "accuracy": accuracy,
                "gap": black_box - accuracy,
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
    """Remove the runs of an earlier demo, since they can be made again."""
    for name in RUNS:
        config = folder / name / CONFIG
        if config.is_file() and "data: digits" in config.read_text(encoding="utf-8"):
            shutil.rmtree(folder / name)
