"""Download data sets of the Hugging Face Hub, by names that begin with ``hf:`` alone."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from resemblance.config.errors import UserError
from resemblance.data.images import SUFFIXES
from resemblance.data.sources.layout import split_named
from resemblance.data.text import listed, one_line

HUB = "hf:"
CONVERTED = "refs/convert/parquet"  # where the Hub keeps other formats as Parquet
TABLES = ".csv", ".tsv", ".jsonl"
_NAME = re.compile(r"(?P<repo>[\w.-]+/[\w.-]+)(?:@(?P<revision>[\w./-]+))?(?::(?P<config>[\w.-]+))?")


class HubData(NamedTuple):
    """A data set on the Hub.

    Args:
        repo: OWNER/NAME.
        revision: a branch, tag or commit; None for the newest.
        config: the part of the data set; None for the only one, or for ``default``.
    """

    repo: str
    revision: str | None = None
    config: str | None = None


def hub_name(spec: str) -> HubData:
    """Read the name of a data set on the Hub.

    Raises:
        UserError: if it has another form.

    Example:
        >>> hub_name("hf:someone/birds@v1:small")
        HubData(repo='someone/birds', revision='v1', config='small')
    """
    match = _NAME.fullmatch(spec.removeprefix(HUB))
    if match is None:
        raise UserError(
            f"{one_line(spec)}: expected hf:OWNER/NAME, hf:OWNER/NAME@REVISION or hf:OWNER/NAME:PART"
        )
    return HubData(match["repo"], match["revision"], match["config"])


def download_hub_data(spec: str) -> tuple[Path, list[str]]:
    """Download the files of a data set on the Hub, and return their folder and their paths in it.

    These are its Parquet files, else its image files with their tables, else the Parquet files that the Hub has made of
    it. What was downloaded before is taken from huggingface_hub's cache.

    Raises:
        UserError: if there is no such data set, or it cannot be reached.
    """
    name = hub_name(spec)
    shown = one_line(spec)
    revision = name.revision
    files = _list_files(name.repo, revision, shown)
    chosen = _parquet_of(files, name.config, shown) or _image_files(files)
    if not chosen and revision is None:
        revision = CONVERTED
        files = _list_files(name.repo, revision, shown)
        chosen = _parquet_of(files, name.config, shown)
    if not chosen:
        raise UserError(f"{shown}: has neither Parquet files nor images")
    return _download(name.repo, revision, chosen, shown), chosen


def _parquet_of(files: Sequence[str], config: str | None, shown: str) -> list[str]:
    """Return the Parquet files of a part of the data set."""
    parquet = [file for file in files if file.lower().endswith(".parquet")]
    parts: dict[str, list[str]] = {}
    for file in parquet:
        first = file.split("/")[0] if "/" in file else ""
        own = "" if first == "data" or split_named(first) else first
        parts.setdefault(own, []).append(file)
    if config is not None and parquet:
        if config not in parts:
            raise UserError(f"{shown}: has no part {config!r}; it has {listed(sorted(filter(None, parts)))}")
        return parts[config]
    for one in ("default", ""):
        if one in parts:
            return parts[one]
    if len(parts) > 1:
        raise UserError(f"{shown}: choose one of its parts, {listed(sorted(parts), 8)}: {shown}:{min(parts)}")
    return parquet


def _image_files(files: Sequence[str]) -> list[str]:
    images = [file for file in files if file.lower().endswith(SUFFIXES)]
    return [*images, *(file for file in files if file.lower().endswith(TABLES))] if images else []


def _list_files(repo: str, revision: str | None, shown: str) -> list[str]:
    from huggingface_hub import HfApi

    try:
        return [str(file) for file in HfApi().list_repo_files(repo, repo_type="dataset", revision=revision)]
    except Exception as error:
        cached = _cached_files(repo, revision)
        if cached:
            return cached
        raise _refusal(error, shown) from None


def _cached_files(repo: str, revision: str | None) -> list[str]:
    """Return the files that were downloaded before; none if there are none."""
    from huggingface_hub import snapshot_download

    try:
        folder = Path(snapshot_download(repo, repo_type="dataset", revision=revision, local_files_only=True))
    except Exception:  # nothing is in the cache
        return []
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def _download(repo: str, revision: str | None, files: list[str], shown: str) -> Path:
    from huggingface_hub import snapshot_download

    escaped = [re.sub(r"([*?\[])", r"[\1]", file) for file in files]
    fetch = partial(snapshot_download, repo, repo_type="dataset", revision=revision, allow_patterns=escaped)
    try:
        return Path(str(fetch()))
    except Exception as error:
        try:
            return Path(str(fetch(local_files_only=True)))
        except Exception:
            raise _refusal(error, shown) from None


def _refusal(error: Exception, shown: str) -> UserError:
    kind = type(error).__name__
    if kind in ("RepositoryNotFoundError", "HFValidationError"):
        return UserError(f"{shown}: not a data set on the Hugging Face Hub, or a private one (hf auth login)")
    if kind == "GatedRepoError":
        return UserError(
            f"{shown}: accept its conditions on the Hugging Face Hub first, and log in (hf auth login)"
        )
    if kind == "RevisionNotFoundError":
        return UserError(f"{shown}: has no such revision, and no Parquet files that the Hub has made of it")
    return UserError(f"{shown}: cannot be downloaded ({kind}); is the network reachable?")
