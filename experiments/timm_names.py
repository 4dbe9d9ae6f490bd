"""Try every name of timm as an encoder, and write the table of those that are refused.

    python experiments/timm_names.py --table docs/encoders.md

Networks are built on torch's meta device, whose tensors have shapes and no values, at the image size of their weights,
for RGB images and ten classes; each is run once, on one image. ``--names`` tries only the names that match a pattern,
``--known`` keeps the results of an earlier run for all others. The table replaces what is between the two comments
``timm exceptions`` of the page.
"""

from __future__ import annotations

import argparse
import json
import re
import warnings
from pathlib import Path

import timm
import torch

from resemblance.config.encoder import EncoderConfig
from resemblance.config.errors import UserError
from resemblance.config.image import ImageSpec
from resemblance.encoders.build import build_encoder

CLASSES = 10
CURE = re.compile(r"[;:] (?:choose|try|use) ")  # which an error ends with
MARK = re.compile(r"(<!-- timm exceptions -->\n).*?(<!-- end of timm exceptions -->)", re.DOTALL)


def attempt(name: str) -> str:
    """Return why a name is refused, or how it fails; empty if it works."""
    published = timm.get_pretrained_cfg(name)
    size = published.input_size[1:] if published is not None else (224, 224)
    image = ImageSpec(*size, 3, (0.5,) * 3, (0.5,) * 3)
    try:
        with torch.device("meta"), torch.no_grad(), warnings.catch_warnings(action="ignore"):
            encoder = build_encoder(EncoderConfig(encoder=name), image, CLASSES).eval()
            shape = tuple(encoder.classify(torch.zeros(1, encoder.embedding)).shape)
            return "" if shape == (1, CLASSES) else f"FAILS: logits of shape {shape}"
    except UserError as error:
        return str(error)
    except Exception as error:  # what the script is for
        return f"FAILS: {type(error).__name__}: {str(error).splitlines()[0][:200] if str(error) else ''}"


def table(results: dict[str, str]) -> str:
    """Return the exceptions as a Markdown table, one row per reason."""
    reasons: dict[str, list[str]] = {}
    for name, reason in results.items():
        if reason:
            general = re.sub(r"\s+", " ", reason.removeprefix(f"encoder {name} "))
            reasons.setdefault(CURE.split(general)[0], []).append(name)
    count = sum(not reason for reason in results.values())
    lines = [f"{count} of the {len(results)} names of timm {timm.__version__} work. The others:", ""]
    lines += ["| names | reason |", "| --- | --- |"]
    lines += [
        f"| {', '.join(f'`{name}`' for name in names)} | {reason} |"
        for reason, names in sorted(reasons.items(), key=lambda one: one[1][0])
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Try the names, and write the results and the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--names", default="*", help="pattern of the names to try")
    parser.add_argument(
        "--known", type=Path, help="JSON file of results, read before and written after each name"
    )
    parser.add_argument("--again", action="store_true", help="try again the names that were refused")
    parser.add_argument("--table", type=Path, help="page whose table is replaced")
    options = parser.parse_args()
    results: dict[str, str] = {}
    if options.known and options.known.exists():
        results = json.loads(options.known.read_text(encoding="utf-8"))
    for name in timm.list_models(options.names):
        if name not in results or (options.again and results[name]):
            results[name] = attempt(name)
            print(f"{name}: {results[name] or 'works'}", flush=True)
            if options.known:
                options.known.write_text(json.dumps(results, indent=1), encoding="utf-8")
    text = table({name: results[name] for name in sorted(results)})
    if options.table:
        page = options.table.read_text(encoding="utf-8")
        options.table.write_text(MARK.sub(rf"\g<1>\n{text}\n\g<2>", page), encoding="utf-8")
    else:
        print(text)


if __name__ == "__main__":
    main()
