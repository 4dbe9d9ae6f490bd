"""Test that the command line and YAML give the same options for every command and method, or one line of error."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from types import NoneType
from typing import Any, get_args, get_origin

import pytest
import yaml
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from resemblance.cli.arguments import parse
from resemblance.cli.main import main
from resemblance.cli.parser import Option, options_of
from resemblance.config.commands import (
    COMMANDS,
    ConvertCommand,
    EvaluateCommand,
    ExplainCommand,
    TrainCommand,
)
from resemblance.config.errors import UserError
from resemblance.config.runs import ConvertOptions, TrainOptions
from resemblance.methods.protovae.config import ProtoVAEConfig
from resemblance.methods.registry import method_configs
from resemblance.runs.config_file import write_config
from resemblance.runs.training_run import config_values

# The dataclasses of the options of each command; train has one entry per method.
CONFIGS: dict[str, tuple[type, ...]] = {
    **{name: (config,) for name, config in COMMANDS.items() if name not in ("train", "sweep")},
    **{f"train {name}": (TrainCommand, config) for name, config in method_configs().items()},
    "sweep kmex": (COMMANDS["sweep"], TrainOptions, method_configs()["kmex"]),
    "sweep convert": (COMMANDS["sweep"], ConvertOptions),
}
# Those of a sweep share fields, of which the first counts.
ALONE = {name: configs for name, configs in CONFIGS.items() if not name.startswith("sweep")}
EVERY_COMMAND = pytest.mark.parametrize("configs", ALONE.values(), ids=ALONE.keys())


def written(tmp_path: Path, text: str, name: str = "options.yaml") -> str:
    (tmp_path / name).write_text(text, encoding="utf-8")
    return str(tmp_path / name)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("train kmex", "--data is missing (see resemblance train kmex --help)"),
        ("explain", "RUN and IMAGE are missing (see resemblance explain --help)"),
        ("explain run", "IMAGE is missing (see"),
        ("evaluate --split test", "RUN is missing (see"),
        ("train kmex --data d more", "unexpected argument 'more' (see"),
        ("embed run another", "unexpected argument 'another' (see"),
        ("train kmex --data d --image-siz 3", "unknown option '--image-siz'; did you mean '--image-size'"),
        ("train kmex --data d --image-siz=3", "unknown option '--image-siz'; did you mean '--image-size'"),
        ("train kmex --data d --no-reprot", "unknown option '--no-reprot'; did you mean '--no-report'"),
        ("train kmex --data d --prog", "unknown option '--prog'"),
        ("train kmex --data d --base {}", "unknown option '--base'"),
        ("train kmex --data d -e 3", "unknown option '-e'"),
        ("train kmex --data d --versions 3", "unknown option '--versions'"),
        ("train kmex --data d --epochs", "--epochs needs a value (see"),
        ("train kmex --data d --epochs --seed 1", "--epochs needs a value (see"),
        ("train kmex --data d --config", "--config needs a value (see"),
        ("train kmex --data d --resume=yes", "--resume takes no value (see"),
        ("train kmex --data d --epochs -3", "--epochs must be at least 1, not -3"),
        ("train kmex --data d --epochs 3.5", "--epochs: expected a whole number or null, not '3.5'"),
        ("train kmex --data d --epochs=", "--epochs: expected a whole number or null, not ''"),
        ("train kmex --data d --seed 99999999999999999999", "--seed: 99999999999999999999 is too large"),
        ("train kmex --data d --val-fraction nan", "--val-fraction: not a number"),
        ("train kmex --data d --precision bf16", "--precision: 'bf16' is not one of 32-true, bf16-mixed"),
        ("train kmex --data d --mean 0.1,b", "--mean: expected values separated by commas"),
        ("train kmex --data d --prototypes-per-class 0", "--prototypes-per-class must be at least 1"),
        (
            "train kmex --data d --variant theirs",
            "--variant: this method has no variant 'theirs'; choose from",
        ),
        ("embed run --projection tsne", "--projection: 'tsne' is not one of pca, umap"),
        ("convert m --batch-size 0", "--batch-size must be at least 1, not 0"),
    ],
)
def test_mistakes_are_named_in_one_line(line: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(line.split()) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.count("\n") == 1
    assert printed.err.startswith(f"resemblance: error: {message}")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("epoch: 3", "unknown option 'epoch'; did you mean 'epochs'"),
        ("on: 3", "unknown option 'True'"),
        ("config: a.yaml", "unknown option 'config'"),
        ("help: true", "unknown option 'help'"),
        ("epochs: many", "epochs: expected a whole number or null, not 'many'"),
        ("epochs: true", "epochs: expected a whole number or null, not True"),
        ("resume: maybe", "resume: expected true or false, not 'maybe'"),
        ("val_fraction: null", "val_fraction: expected a number, not None"),
        ("encoder: 18", "encoder: expected text, not 18 (put it into quotes)"),
        ("image_size: {a: 3}", "image_size: expected"),
        ("image-size: 3\nimage_size: 4", "'image_size' is given twice"),
        ("epochs: 1\nepochs: 2", "'epochs' is given twice"),
        ("- a", "does not hold options"),
        ("a: &a b", "anchors and aliases"),
        ("[" * 1000, "more than 20 lists and mappings are nested"),
    ],
)
def test_mistakes_in_yaml(
    text: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = written(tmp_path, text)
    assert main(["train", "kmex", "--data", "d", "--config", file]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert error.startswith(f"resemblance: error: configuration file '{file}'")
    assert message in error


def test_values_in_yaml_are_checked_like_those_on_the_command_line(tmp_path: Path) -> None:
    for text, message in {
        "epochs: 0": "--epochs must be at least 1, not 0",
        "precision: bf16": "--precision: 'bf16' is not one of 32-true",
        "val_fraction: .nan": "--val-fraction: not a number",
    }.items():
        with pytest.raises(UserError) as error:
            parse("train", "", ["--data", "d", "--config", written(tmp_path, text)], TrainCommand)
        assert str(error.value).startswith(message)


def test_command_line_wins_over_yaml(tmp_path: Path) -> None:
    text = "data: cats\nepochs: 3\nimage-size: [3, 4]\nmean: 0.5\nresume: true\nversions: {torch: '3'}\n"
    arguments = ["--epochs", "7", "--config", written(tmp_path, text), "--no-resume", "--mean", "null"]
    [options] = parse("train", "", arguments, TrainCommand)
    assert (options.data, options.epochs, options.image_size) == ("cats", 7, (3, 4))
    assert (options.mean, options.resume) == (None, False)


@pytest.mark.parametrize("method", method_configs())
def test_the_config_yaml_of_a_run_can_be_read_unchanged(method: str, tmp_path: Path) -> None:
    written_options = TrainOptions(data="digits", epochs=3, mean=(0.5,), progress=False)
    written_config = method_configs()[method]()
    split = {"seed": 7, "val_fraction": 0.2}
    write_config(tmp_path, "train", config_values(written_config, written_options, split))
    arguments = ["--config", str(tmp_path / "config.yaml"), "--output", "runs/again"]
    options, config = parse("train", "", arguments, TrainCommand, type(written_config))
    assert config == written_config
    assert (options.data, options.epochs, options.mean) == ("digits", 3, (0.5,))
    assert (options.val_fraction, options.output, options.progress) == (0.2, Path("runs/again"), False)


def test_the_last_file_and_the_last_option_win(tmp_path: Path) -> None:
    first = written(tmp_path, "data: cats\nepochs: 3", "first.yaml")
    second = written(tmp_path, "epochs: 5", "second.yaml")
    arguments = [
        "--config",
        first,
        "--seed",
        "1",
        f"--config={second}",
        "--seed=2",
        "--resume",
        "--no-resume",
    ]
    [options] = parse("train", "", arguments, TrainCommand)
    assert (options.data, options.epochs, options.seed, options.resume) == ("cats", 5, 2, False)


def test_required_and_positional_options_can_stand_in_yaml(tmp_path: Path) -> None:
    [options] = parse(
        "convert", "", ["--config", written(tmp_path, "model: runs/a\ncommand: convert")], ConvertCommand
    )
    assert options.model == "runs/a"
    [options] = parse("evaluate", "", ["--config", written(tmp_path, "runs: [a, 'b, c']")], EvaluateCommand)
    assert options.runs == ["a", "b, c"]
    [options] = parse("evaluate", "", ["d", "--config", written(tmp_path, "runs: [a]")], EvaluateCommand)
    assert options.runs == ["d"]
    with pytest.raises(UserError, match="RUN is missing"):
        parse("evaluate", "", ["--config", written(tmp_path, "runs: []")], EvaluateCommand)


def test_positional_words_stand_between_and_after_options() -> None:
    for line in (
        "run --top 3 a.png --json b.png",
        "--json run a.png b.png --top 3",
        "--top 3 --json -- run a.png b.png",
    ):
        [options] = parse("explain", "", line.split(), ExplainCommand)
        assert (options.run, options.images, options.top, options.json) == (
            "run",
            ["a.png", "b.png"],
            3,
            True,
        )
    [options] = parse("explain", "", ["run", "--", "-a.png", "--top"], ExplainCommand)
    assert options.images == ["-a.png", "--top"]


def test_text_that_looks_like_another_value_stays_text() -> None:
    [options] = parse("explain", "", ["3", "null", "--label", "1e3", "--classes", "1,true"], ExplainCommand)
    assert (options.run, options.images, options.label, options.classes) == (
        "3",
        ["null"],
        "1e3",
        ("1", "true"),
    )


def test_a_switch_that_the_method_decides_can_be_set_both_ways() -> None:
    for arguments, sample in (([], None), (["--sample"], True), (["--no-sample"], False)):
        assert parse("train protovae", "", arguments, ProtoVAEConfig)[0].sample is sample


@EVERY_COMMAND
def test_a_switch_that_is_on_has_a_help_text_for_turning_it_off(configs: tuple[type, ...]) -> None:
    for option in options_of(*configs):
        if option.switch and option.default is not False:
            assert option.off, f"--no-{option.name} has no help text"
            assert option.off != option.help


@pytest.mark.parametrize("command", CONFIGS)
def test_help_shows_each_option_once(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*command.split(), "--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    for option in options_of(*CONFIGS[command]):
        shown = [
            word for word in option.flags if any(f"{line.strip()} ".startswith(f"{word} ") for line in lines)
        ]
        if option.switch:
            assert shown == [
                word
                for word, value in zip(option.flags, (True, False), strict=True)
                if option.default is not value
            ]
        else:
            assert shown == option.flags


def test_help_says_what_no_x_does(capsys: pytest.CaptureFixture[str]) -> None:
    main(["train", "protopool", "--help"])
    printed = " ".join(capsys.readouterr().out.split())
    assert "--no-progress do not show progress" in printed
    assert "--no-mixup do not mix pairs" in printed
    assert "--resume continue the run" in printed
    assert "--no-resume" not in printed


@pytest.mark.parametrize("columns", [5, 40, 80, 200])
def test_help_fits_the_terminal(
    columns: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    assert main(["explain", "--help"]) == 0
    widest = max(map(len, capsys.readouterr().out.splitlines()))
    assert columns < 60 or 70 < widest <= min(columns, 110)


def test_groups_stand_in_the_order_of_the_work(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "110")  # otherwise a line of the description may end with its colon
    main(["train", "protopnet", "--help"])
    titles = [line for line in capsys.readouterr().out.splitlines() if line.endswith(":") and line[0] != " "]
    assert titles == ["data:", "model:", "method:", "training:", "output:", "other:"]


def texts() -> st.SearchStrategy[str]:
    """Return texts, some of which YAML would read as other types; without line ends that PyYAML writes wrongly."""
    special = [
        "null",
        "None",
        "true",
        "3",
        "010",
        "1e-3",
        "a, b",
        "&a",
        "*a",
        "!a",
        "a: b",
        "<<",
        "2024-05-01",
        "",
    ]
    line_ends = "\x85\u2028\u2029"
    return st.one_of(
        st.text(st.characters(codec="utf-8", exclude_characters=line_ends)), st.sampled_from(special)
    )


def values(kind: Any, option: Option) -> st.SearchStrategy[Any]:
    """Return values of a type that are among the choices and not below the smallest value."""
    least = option.least
    if option.choices:
        return st.sampled_from(option.choices)
    if get_origin(kind) is tuple:
        kinds = [member for member in get_args(kind) if member is not Ellipsis]
        if len(kinds) < len(get_args(kind)):
            return st.lists(values(kinds[0], option), max_size=3).map(tuple)
        return st.tuples(*(values(kind, option) for kind in kinds))
    if get_origin(kind) is list:
        return st.lists(values(get_args(kind)[0], option), min_size=1, max_size=3)
    if get_origin(kind) is dict:
        return st.dictionaries(
            texts(), st.one_of(texts(), st.integers(), st.lists(st.booleans())), max_size=3
        )
    return {
        bool: st.booleans(),
        NoneType: st.none(),
        int: st.integers(-(1 << 63) + 1 if least is None else int(least), 1000),
        float: st.floats(-1e9 if least is None else least, 1e9),
        str: texts(),
        Path: st.from_regex(r"\A[a-z/. #:é-][a-z/. #:é-]*\Z").map(Path),
    }[kind]


def configurations(*configs: type) -> st.SearchStrategy[list[Any]]:
    """Return instances that the command accepts, with some options that are not the defaults."""

    @st.composite
    def draw_all(draw: st.DrawFn) -> list[Any]:
        made = []
        for config in configs:
            options = [
                option for option in options_of(config) if option.name != "start"
            ]  # a folder that exists
            free = [option for option in options if not (option.required or option.positional)]
            chosen = [option for option in options if option not in free]
            chosen += draw(st.lists(st.sampled_from(free), max_size=5, unique_by=lambda one: one.name))
            drawn = {}
            for option in chosen:
                kinds = [kind for kind in option.kinds if kind is not NoneType or option in free]
                drawn[option.name] = draw(st.one_of([values(kind, option) for kind in kinds]))
            try:
                made.append(config(**drawn))
            except UserError:
                reject()  # options that contradict each other
        return made

    return draw_all()


@EVERY_COMMAND
def test_a_configuration_written_as_yaml_is_read_as_the_same(
    configs: tuple[type, ...], tmp_path: Path
) -> None:
    file = tmp_path / "config.yaml"

    @settings(max_examples=25, deadline=None)
    @given(configurations(*configs))
    def check(made: list[Any]) -> None:
        options: dict[str, Any] = {}
        for one in made:
            options |= {f.name: getattr(one, f.name) for f in fields(one) if "help" in f.metadata}
        file.write_text(yaml.safe_dump(plain(options), sort_keys=False, allow_unicode=True), encoding="utf-8")
        assert parse("", "", ["--config", str(file)], *configs) == made

    check()


def plain(value: Any) -> Any:
    """Return a value as `runs.config_file.write_config` writes it."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value
