"""Read the description of a model, its config.json: the method, the classes, the images and the facts."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from resemblance.config.files.json_file import read_json, refuse_controls
from resemblance.config.files.typed import make, typed
from resemblance.config.model import DESCRIPTION, FACTS, OPTIONAL, ModelSpec
from resemblance.methods.registry import REGISTRATION_HINT, known_configs
from resemblance.runs.inspection.findings import Findings
from resemblance.runs.inspection.model_files import find_file
from resemblance.store import CONFIG, FORMAT


@dataclass
class Description:
    """What config.json of a model folder says, as far as it can be read.

    Args:
        document: its entries other than the format and the checksums.
        checksums: its checksums, as they stand there.
        format: the version of the format.
        method: the name of the method.
        line: what the method is; empty if it is not known here.
        settings: the settings of the method.
        spec: the classes and images.
        encoder: the encoder in words.
        needs_code: the function of the author's own code that the model needs, ``package.module:function``.
        facts: what was measured, and notes.
    """

    document: dict[str, Any]
    checksums: Any
    format: int | None = None
    method: str | None = None
    line: str = ""
    settings: dict[str, Any] = field(default_factory=dict)
    spec: ModelSpec | None = None
    encoder: str | None = None
    needs_code: str | None = None
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def version(self) -> str | None:
        """The version of this library that wrote the folder."""
        version = self.document.get("resemblance")
        return version if isinstance(version, str) else None

    def image(self) -> dict[str, Any] | None:
        """Return size, channels, preparation and normalisation of the images as a JSON-ready dictionary."""
        return None if self.spec is None else asdict(self.spec.image)


def read_description(folder: Path, findings: Findings) -> Description | None:
    """Read config.json of a model folder; None if there is nothing to read.

    Args:
        folder: the model folder.
        findings: receives what is wrong.
    """
    path = find_file(folder, CONFIG, findings)
    document = None if path is None else findings.trying("unreadable", CONFIG, partial(read_json, path))
    if document is None:
        return None
    version, checksums = document.pop("format", None), document.pop("checksums", None)
    description = Description(document, checksums, version if type(version) is int else None)
    if description.format is None:
        findings.add("unreadable", CONFIG, f"{CONFIG} has no format version: another program wrote it")
    elif description.format > FORMAT:
        findings.add(
            "unknown",
            CONFIG,
            f"the folder has format {version}, this version reads up to {FORMAT}; upgrade resemblance",
        )
    findings.trying("unreadable", CONFIG, lambda: refuse_controls(document, CONFIG))
    _read_entries(description, findings)
    return description


def _read_entries(description: Description, findings: Findings) -> None:
    """Read each entry on its own, so that one that is damaged hides no other."""
    document = description.document

    def entry(name: str, kind: Any, required: bool = True) -> Any:
        values = findings.trying(
            "unreadable", CONFIG, lambda: typed(document, {name: kind}, CONFIG, required=required)
        )
        return None if values is None else values.get(name)

    description.method = entry("method", DESCRIPTION["method"])
    description.settings = entry("config", DESCRIPTION["config"]) or {}
    description.encoder = entry("encoder", OPTIONAL["encoder"], required=False)
    description.facts = dict(entry("facts", OPTIONAL["facts"], required=False) or {})
    for name, kind in FACTS.items():
        read = partial(typed, description.facts, {name: kind}, f"{CONFIG}: facts")
        if (checked := findings.trying("unreadable", CONFIG, read)) is None:
            del description.facts[name]
        else:
            description.facts = checked
    spec = entry("spec", DESCRIPTION["spec"])
    if spec is not None:
        description.spec = findings.trying("unreadable", CONFIG, lambda: ModelSpec.from_dict(spec))
    encoder = description.settings.get("encoder")
    description.needs_code = encoder if isinstance(encoder, str) and ":" in encoder else None
    _read_method(description, findings)


def _read_method(description: Description, findings: Findings) -> None:
    """Find the method, by its configuration, which imports no torch, and check the settings against it."""
    method = description.method
    if method is None:
        return
    config = known_configs().get(method)
    if config is None:
        findings.add(
            "unknown",
            CONFIG,
            f"the method {method!r} is not known here, and is not checked: {REGISTRATION_HINT}",
        )
        return
    description.line = config.line
    place = f"{CONFIG}: config"
    findings.trying("unreadable", CONFIG, lambda: make(config, description.settings, place))
