"""The tables that stand beside the paper's figures, from made-up evaluations and from a real one."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import resemblance
from resemblance.cli.main import main

SCRIPT = Path(__file__).parents[2] / "experiments" / "evaluation_table.py"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = spec_from_file_location("evaluation_table", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules["evaluation_table"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def value(name: str, number: float | None, **more: Any) -> dict[str, Any]:
    return {
        "name": name,
        "title": name,
        "value": number,
        "interval": None,
        "deviation": None,
        "count": None,
    } | more


def run(method: str, seed: int, values: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    measures = {"all": {"values": values}}
    names = {
        "run": f"{method}-{seed}",
        "method": method,
        "seed": seed,
        "data": "mnist:/data",
        "kmex_of": None,
    }
    return names | {"measures": measures} | more


def table(script: ModuleType, *documents: list[dict[str, Any]]) -> list[str]:
    paper = script.paper_figures()
    lines: list[str] = script.tables(script.collect(list(documents)), paper)
    return lines


def test_the_papers_file_has_known_names_and_shares(script: ModuleType) -> None:
    paper = script.paper_figures()
    assert set(paper) == set(script.MEASURES) - {"relevance_ordering"}
    for name, by_data in paper.items():
        assert list(by_data) == list(script.DATA)
        for models in by_data.values():
            assert set(models) <= set(script.MODELS)
            assert all(0 <= number <= 1 for figure in models.values() for number in figure), name


def test_seeds_become_mean_and_deviation_beside_the_paper(script: ModuleType) -> None:
    first = [run("kmex", 0, [value("ghosting", 0.1)]), run("protopnet", 0, [value("ghosting", 0.5)])]
    second = [run("kmex", 1, [value("ghosting", 0.3), value("divergence", None)])]
    lines = table(script, first, second, first)  # the same evaluation again changes nothing
    assert "| measure | KMEx | KMEx, the paper | ProtoPNet | ProtoPNet, the paper |" in lines
    assert "| D_tsp ↓ | 0.200 ± 0.141 (2) | 0.000 ± 0.000 | 0.500 (1) | 0.580 ± 0.060 |" in lines
    assert "| D_fdl ↓ | – | 0.086 ± 0.141 | – | 0.438 ± 0.173 |" in lines
    assert (
        "| D_tsp ↓ | KMEx < ProtoPNet | holds° |" in lines
    )  # the noise of a single seed of D_tsp is not known


@pytest.mark.parametrize(
    ("kmex", "protopnet", "expected"),
    [(0.2, 0.1, "holds"), (0.1, 0.2, "reversed"), (0.2, 0.19, "within the deviation"), (0.1, 0.1, "differs")],
)
def test_orders_of_single_seeds_use_the_standard_error(
    script: ModuleType, kmex: float, protopnet: float, expected: str
) -> None:
    known = {"deviation": 0.3, "count": 100}  # an error of 0.03
    runs = [
        run("kmex", 0, [value("average_drop", kmex, **known)]),
        run("protopnet", 0, [value("average_drop", protopnet, **known)]),
    ]
    assert f"| AD ↓ | KMEx > ProtoPNet | {expected} |" in table(script, runs)


def test_standard_errors(script: ModuleType) -> None:
    assert script.standard_error(value("accuracy", 0.9, interval=[0.8, 0.996], count=9)) == pytest.approx(
        0.05
    )
    assert script.standard_error(value("divergence", 2.0, deviation=1.0, count=25)) == pytest.approx(0.2)
    assert script.standard_error(value("average_increase", 0.5, count=100)) == pytest.approx(0.05)
    assert script.standard_error(value("ghosting", 0.5, count=100)) is None


def test_conversions_of_a_method_are_a_row_of_their_own(script: ModuleType) -> None:
    after = run(
        "kmex", 0, [value("diversity", 0.2), value("ghosting", 0.9)], run="kmex of it", kmex_of="protovae-0"
    )
    lines = table(script, [run("protovae", 0, [value("diversity", 0.4)]), after])
    assert "| D_dvs ↓ | 0.400 (1) | 0.367 ± 0.050 |" in lines
    assert "| D_dvs after KMEx ↓ | 0.200 (1) | 0.331 ± 0.052 |" in lines
    assert not any("0.900" in line for line in lines)


def test_what_cannot_be_joined_is_refused(script: ModuleType) -> None:
    one = run("kmex", 0, [value("ghosting", 0.1)])
    with pytest.raises(ValueError, match="both KMEx on MNIST with seed 0"):
        script.collect([[one], [run("kmex", 0, [], run="another")]])
    with pytest.raises(ValueError, match="two values"):
        script.collect([[one], [run("kmex", 0, [value("ghosting", 0.2)])]])


def test_it_reads_what_evaluate_writes(tmp_path: Path) -> None:
    run = resemblance.train(
        "blackbox",
        data="digits",
        output=tmp_path / "run",
        encoder="small",
        epochs=1,
        report=False,
        progress=False,
    )
    assert run.folder is not None
    options = ["--metrics", "paper", "--images", "8", "--steps", "2", "--output", str(tmp_path)]
    assert main(["evaluate", str(run.folder), *options]) == 0
    path = tmp_path / "evaluation.json"
    document = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(document | {"data": "fashion-mnist:DIR"}), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, SCRIPT, tmp_path], capture_output=True, text=True, encoding="utf-8"
    )
    assert done.returncode == 0, done.stderr
    assert "### Fashion-MNIST" in done.stdout
    assert f"| accuracy ↑ | {document['accuracy']:.3f} (1) | 0.924 ± 0.001 |" in done.stdout
    assert "| RO, area ↑ | 0." in done.stdout
