"""Configuration files, which the commands read with --config."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from typing import Any

import yaml

from resemblance.cli.arguments import parse
from resemblance.config.commands import COMMANDS, TrainCommand
from resemblance.methods.registry import get_config, list_methods
from resemblance.runs.config_file import config_lines, write_config
from robustness import structures
from robustness.kind import Kind, command
from robustness.malice import TRAP, Trap
from robustness.mutations import mutate


@dataclass
class Seeds:
    """The options of each command by the words that begin it, and what to put into a file."""

    options: dict[str, dict[str, Any]]
    pieces: tuple[str, ...]


def prepare(folder: Path, trap: Trap) -> Seeds:
    """Write down the default options of all commands and methods."""
    options = {}
    for method in list_methods():
        parsed = parse("", "", ["--data", "digits", "--epochs", "3"], TrainCommand, get_config(method))
        merged = {
            key: value
            for one in parsed
            for key, value in asdict(one).items()
            if key not in ("name", "method")
        }
        options[f"train {method}"] = config_lines("train", merged)
    words = {
        "convert": ["runs/a"],
        "explain": ["runs/a", "a.png"],
        "evaluate": ["runs/a"],
        "report": ["runs/a"],
    }
    words |= {"prototypes": ["runs/a"], "embed": ["runs/a"]}
    for name, arguments in words.items():
        [parsed_one] = parse("", "", arguments, COMMANDS[name])
        options[name] = config_lines(name, asdict(parsed_one))
    return Seeds(options, pieces(trap))


def attempt(rng: Random, seeds: Seeds, place: Path) -> None:
    """Damage a configuration file and read it; what is read must be read again from what is written."""
    name = rng.choice(list(seeds.options))
    path = place / "options.yaml"
    path.write_bytes(yaml_text(rng, seeds.options[name], seeds.pieces))
    if name.startswith("train"):
        method = name.split()[1]
        configs: list[type[Any]] = [TrainCommand, get_config(method)]
    else:
        configs = [COMMANDS[name]]
    if rng.random() < 0.1:  # through the command, which stops at the missing folder of the data
        command(
            *name.split(),
            *([] if name.startswith("train") else ["no/such/folder"]),
            "--config",
            path,
            "--data",
            "no/such",
        )
    first = parse(name, "", ["--config", str(path)], *configs)
    values = {
        key: value for one in first for key, value in asdict(one).items() if key not in ("name", "method")
    }
    write_config(place, name.split()[0], values)
    again = parse(name, "", ["--config", str(place / "config.yaml")], *configs)
    for one, other in zip(first, again, strict=True):
        ours, theirs = asdict(one), asdict(other)
        assert all(ours[key] == theirs[key] for key in ours if key not in ("data", "resume", "json")), (
            ours,
            theirs,
        )


def yaml_text(rng: Random, options: dict[str, Any], pieces: tuple[str, ...]) -> bytes:
    """Return a damaged configuration file.

    Args:
        rng: the source of all choices.
        options: the valid content.
        pieces: lines and values to put into it.
    """
    text = _dump(structures.mutate(rng, options) if rng.random() < 0.6 else options)
    lines = text.splitlines()
    for _ in range(rng.choice((0, 1, 1, 2))):
        index = rng.randrange(len(lines)) if lines else 0
        what = rng.random()
        if what < 0.35:
            lines.insert(index, rng.choice(pieces))
        elif what < 0.6 and lines:
            key = lines[index].partition(":")[0]
            lines[index] = f"{key}: {rng.choice(pieces)}"
        elif what < 0.75 and lines:
            lines.insert(rng.randrange(len(lines)), lines[index])
        elif what < 0.85 and lines:
            lines[index] = rng.choice((" ", "\t", "- ", "? ", "# ")) + lines[index]
        elif lines:
            del lines[index]
    text = rng.choice(("\n", "\n", "\n", "\n", "\r\n", "\r")).join(lines) + "\n"
    codec = rng.choice(("utf-8",) * 12 + ("utf-8-sig", "utf-16", "utf-32", "latin-1"))
    data = text.encode(codec, "replace")
    return mutate(rng, data) if rng.random() < 0.3 else data


def _dump(values: Any) -> str:
    try:
        return yaml.safe_dump(values, sort_keys=False, allow_unicode=True)
    except (yaml.YAMLError, UnicodeEncodeError):
        return structures.json_text(values)


def pieces(trap: Trap) -> tuple[str, ...]:
    """Return lines and values that a YAML reader may stumble over."""
    bomb = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    bomb += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 10)]
    return (
        "\n".join(bomb),
        "a: &a [*a]",
        "&a epochs: 3",
        "*nothing",
        "<<: {epochs: 7}",
        "? [a, b]\n: 3",
        "? {a: b}\n: 3",
        "3: 4",
        "null: 4",
        "~",
        "!!python/object/apply:os.system ['touch " + str(trap.mark) + "']",
        f"!!python/object/apply:builtins.exec [{trap.code!r}]",
        f"!!python/name:{TRAP}.run",
        f"!!python/module:{TRAP}",
        f"allow_import: {TRAP}:run",
        f"import: {TRAP}",
        "!!binary aGVsbG8=",
        "!!set {a, b}",
        "!unknown x",
        "2024-05-01",
        "2024-99-99",
        "1:30:00",
        "0o17",
        "0x" + "f" * 300,
        "1_000",
        ".nan",
        "-.inf",
        "1e400",
        "9" * 5000,
        "yes",
        "[" * 2000,
        "[" * 2000 + "]" * 2000,
        "{a: " * 30 + "1" + "}" * 30,
        "- " * 3000 + "x",
        "|\n  text\n  text",
        ">-\n  text",
        "'unclosed",
        '"\\x1b[31m"',
        '"\\ud800"',
        '"\\u202e"',
        "\x00",
        "\x07",
        "---",
        "...",
        "%YAML 9.9",
        "%TAG ! tag:x,2000:",
        "@at",
        "`tick",
        "x" * 200_000,
        "config: options.yaml",
        "resume: true",
        "help: true",
        "method: kmex",
        "versions: 3",
        "command: []",
        "epochs: 3",
        "Epochs: 3",
        "image-size: 3",
        "image_size: 3",
        "image_size: [16, 16]",
        "image_size: 16,16",
        "mean: [.nan]",
        "std: 0.5,x",
        "output: ''",
        "seed: 18446744073709551616",
        "seed: 1e3",
        "seed: 3.0",
    )


KIND = Kind(17, prepare, attempt)
