"""Insert the tables of reproduced experiments into a page, between two comments.

    python experiments/insert_tables.py docs/results.md reproduced/

Wherever the page has

    <!-- reproduced kmex/table3 kmex/table5: begin -->
    <!-- reproduced: end -->

the tables of these experiments are written between the comments, from what is finished in the folder of
`resemblance reproduce`. Cells of which nothing is finished are left out. Nothing is typed in by hand.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from resemblance.reproduce.data_at_hand import KNOWN
from resemblance.reproduce.named_rows import choose, read_rows
from resemblance.reproduce.paper_table import markdown
from resemblance.reproduce.reproduction import reproduce
from resemblance.runs.messages import Messages

BLOCK = re.compile(r"(<!-- reproduced (?P<names>[^:]+): begin -->\n).*?(<!-- reproduced: end -->)", re.DOTALL)
SEED = re.compile(r"seed-(\d+)")


def tables(names: list[str], folder: Path) -> str:
    """Return the tables of experiments, with the seeds that are in the folder."""
    rows = read_rows()
    chosen = choose(rows, names)
    found = {int(match[1]) for path in folder.glob("*/*/*/*/seed-*") if (match := SEED.fullmatch(path.name))}
    anywhere = dict.fromkeys(KNOWN, "")  # nothing is opened
    result = reproduce(rows, chosen, anywhere, folder, sorted(found), lambda words: 1, Messages(), run=False)
    return markdown([outcome for outcome in result.outcomes if outcome.values])


def main() -> None:
    """Write the page again."""
    page, folder = Path(sys.argv[1]), Path(sys.argv[2]).resolve()
    text = page.read_text(encoding="utf-8")
    changed = BLOCK.sub(
        lambda match: f"{match[1]}\n{tables(match['names'].split(), folder)}\n{match[3]}", text
    )
    page.write_text(changed, encoding="utf-8")


if __name__ == "__main__":
    main()
