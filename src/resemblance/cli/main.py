"""The entry point of the command line: find the command, read its options, report errors in one line.

Nothing here imports torch; a command's module is imported when it runs.
"""

from __future__ import annotations

import errno
import os
import re
import sys
from collections.abc import Callable, Sequence
from functools import partial
from importlib import import_module
from inspect import getdoc
from typing import Any

import resemblance
from resemblance.cli.arguments import IMPORT_HELP, parse
from resemblance.cli.ctrl_c import keeping_ctrl_c
from resemblance.cli.early_checks import check_named_files
from resemblance.cli.sweep_arguments import sweep_options
from resemblance.config.commands import COMMANDS, TrainCommand
from resemblance.config.errors import UserError
from resemblance.config.processes import processes
from resemblance.config.values import near
from resemblance.methods.registry import import_methods, method_configs
from resemblance.printing.characters import capitalised, printable
from resemblance.printing.lines import printing_everything, say
from resemblance.writing import is_full

PROG = "resemblance"
DEBUG = "RESEMBLANCE_DEBUG"
IMPORT = "--import"
# Errors of files that no command can foresee everywhere, and only the user can mend.
OF_THE_USER = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENAMETOOLONG, errno.ELOOP, errno.EIO}
OUT_OF_MEMORY = re.compile("can't allocate memory|out of memory")  # of torch, which is not imported here
WITHOUT_IMPORT = ("demo",)  # commands that use no methods or data of other packages
EXAMPLES = """\
examples:
  resemblance demo
  resemblance train blackbox --data mnist:data/mnist --encoder small --output runs/blackbox
  resemblance convert runs/blackbox --prototypes-per-class 5 --output runs/kmex
  resemblance explain runs/kmex photo.png
  resemblance report runs/kmex runs/protopnet

resemblance COMMAND --help shows a command's options."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code.

    0: success; 1: an error of the program; 2: an error that the user can correct; 3: inspect found something wrong,
    or audit crossed a threshold; 130: interrupted;
    143 and 129: training was stopped by SIGTERM or SIGHUP and can be resumed.

    Example:
        >>> main(["--version"])
        resemblance 0.1.0
        0
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    with printing_everything():
        if processes() == 1:
            return _reporting(dispatch, words)
        # Those that torchrun has started help the first one, which reports for all but what happens to them alone.
        os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")  # DDP warns in every process; see run_processes
        torchrun = import_module("resemblance.training.devices.torchrun")
        return _reporting(torchrun.together(partial(_reporting, dispatch)), words)


def _reporting(command: Callable[[list[str]], int], arguments: list[str]) -> int:
    """Run a command and report any exception in one line."""
    try:
        with keeping_ctrl_c():
            result = command(arguments)
        sys.stdout.flush()  # an error in writing belongs here, not to the end of Python
        return result
    except UserError as error:
        return _fail(str(error), 2)
    except KeyboardInterrupt:
        return _fail("interrupted", 130)
    except BrokenPipeError:
        _discard_output()  # the program that reads it has ended
        return 0
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except Exception as error:
        if isinstance(error, OSError) and is_full(error):
            name = f"{error.filename}: " if error.filename else ""
            _discard_output()
            return _fail(f"{name}no space is left on the disk; make room, and repeat the command", 2)
        if isinstance(error, OSError) and error.errno in OF_THE_USER:
            return _fail(f"{str(error.filename)[:200]}: {error.strerror}", 2)
        if isinstance(error, MemoryError) or OUT_OF_MEMORY.search(str(error)):
            return _fail("there is not enough memory; a smaller --batch-size or --image-size needs less", 2)
        if code := getattr(error, "exit_code", None):
            return _fail(str(error), int(code))
        if os.environ.get(DEBUG):
            raise
        message = " ".join(str(error).split()) or "no message"
        return _fail(
            f"internal error, {type(error).__name__}: {message[:300]} ({DEBUG}=1 shows the trace)", 1
        )


def dispatch(arguments: list[str]) -> int:
    """Run the command named by the first argument with the options that follow it.

    Raises:
        UserError: for an unknown command or option.
    """
    arguments, modules = split_imports(arguments)
    first = arguments[0] if arguments else "--help"
    if first in ("-h", "--help", "help"):
        say(_overview())
        return 0
    if first in ("-V", "--version"):
        say(f"{PROG} {resemblance.__version__}")
        return 0
    if first not in COMMANDS:
        kind = "option" if first.startswith("-") else "command"
        hint = near(first, list(COMMANDS)) or f"; the commands are {', '.join(COMMANDS)}"
        raise UserError(f"unknown {kind} {first!r}{hint} (see {PROG} --help)")
    if modules and first in WITHOUT_IMPORT:
        raise UserError(f"{first} takes no {IMPORT} (see {PROG} {first} --help)")
    for module in modules:
        import_methods(module)
    readers = {"train": _train_options, "sweep": sweep_options}
    options = readers[first](arguments[1:]) if first in readers else _options(first, arguments[1:])
    check_named_files(options)
    command = import_module(f"resemblance.cli.commands.{first}")
    return int(command.run(options))


def split_imports(arguments: list[str]) -> tuple[list[str], list[str]]:
    """Return the arguments without all ``--import`` options, and the modules that these name.

    Raises:
        UserError: if a name is missing.

    Example:
        >>> split_imports(["--import", "exemplar", "train", "exemplar", "--import=tiles"])
        (['train', 'exemplar'], ['exemplar', 'tiles'])
    """
    end = arguments.index("--") if "--" in arguments else len(arguments)
    rest: list[str] = []
    modules: list[str] = []
    words = iter(arguments[:end])
    for word in words:
        if word == IMPORT or word.startswith(f"{IMPORT}="):
            name = next(words, "") if word == IMPORT else word.removeprefix(f"{IMPORT}=")
            if not name or name.startswith("-"):
                raise UserError(f"{IMPORT}: expected the name of a module, package.module")
            modules.append(name)
        else:
            rest.append(word)
    return rest + arguments[end:], modules


def _options(name: str, arguments: list[str]) -> Any:
    config = COMMANDS[name]
    line: str = config.line  # type: ignore[attr-defined]
    epilog = "" if name in WITHOUT_IMPORT else IMPORT_HELP
    return parse(f"{PROG} {name}", f"{capitalised(line)}.", arguments, config, epilog=epilog)[0]


def _train_options(arguments: list[str]) -> TrainCommand:
    """Read the options of training and those of the method that the first argument names."""
    methods = method_configs()
    name = arguments[0] if arguments else ""
    if name in ("-h", "--help"):
        say(f"usage: {PROG} train METHOD --data DATA [options]\n\nTrain a model.\n\nmethods:")
        say("\n".join(f"  {key:<14}{config.line}" for key, config in methods.items()))
        say(f"\n{PROG} train METHOD --help shows a method's options.\n\n{IMPORT_HELP}")
        raise SystemExit(0)
    if name not in methods:
        hint = near(name, list(methods)) or f"; the methods are {', '.join(methods)}"
        problem = (
            f"unknown method {name!r}" if name and not name.startswith("-") else "train needs a method first"
        )
        raise UserError(f"{problem}{hint} (see {PROG} train --help; a method of your own needs {IMPORT})")
    config = methods[name]
    text = f"{(getdoc(config) or '').splitlines()[0]} {config.citation}."
    options, method = parse(
        f"{PROG} train {name}", text, arguments[1:], TrainCommand, config, epilog=IMPORT_HELP
    )
    options.method, options.name = method, name
    return options  # type: ignore[no-any-return]


def _overview() -> str:
    lines = [
        f"usage: {PROG} COMMAND [options]",
        "",
        (resemblance.__doc__ or "").splitlines()[0],
        "",
        "commands:",
    ]
    lines += [f"  {name:<14}{config.line}" for name, config in COMMANDS.items()]  # type: ignore[attr-defined]
    return "\n".join([*lines, "", IMPORT_HELP, "", EXAMPLES])


def _discard_output() -> None:
    """Let Python flush to nowhere at its exit what could not be written."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def _fail(message: str, code: int) -> int:
    say(printable(f"{PROG}: {message}" if code != 2 else f"{PROG}: error: {message}"), sys.stderr)
    return code
