"""Notice misspelt files before a command is imported, which takes seconds."""

from __future__ import annotations

from typing import Any

from resemblance.config.commands import ConvertCommand, InspectCommand, TrainCommand
from resemblance.config.files.named_files import (
    check_data_exists,
    check_run_exists,
    check_weights_file,
    is_model_folder,
    split_entry,
)
from resemblance.config.start import describe


def check_named_files(options: Any) -> None:
    """Check that the files and folders that a command's options name exist.

    Args:
        options: of any command; what a file holds is checked by the command itself.

    Raises:
        UserError: for the first one that does not.
    """
    try:
        if isinstance(options, ConvertCommand) and options.model:
            is_model_folder(options.model)
        elif not isinstance(options, InspectCommand):
            for run in getattr(options, "runs", None) or [getattr(options, "run", None)]:
                if run:
                    check_run_exists(run)
        network = options.method if isinstance(options, TrainCommand) else options
        if start := getattr(network, "start", None):
            describe(start)
        weights = getattr(network, "weights", None) or "none"
        if weights not in ("none", "pretrained"):
            check_weights_file(split_entry(weights)[0])
        data = getattr(options, "data", None)
        if isinstance(data, str):
            check_data_exists(data)
    except (OSError, ValueError, RuntimeError):  # of names that no file can have; the command reports them
        return
