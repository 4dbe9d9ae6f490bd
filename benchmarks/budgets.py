"""Measure all budgets in one run on this machine: ratios of two pieces of work that alternate, with their goals.

    python benchmarks/budgets.py [--json FILE] [--only NAME ...] [--list] [--quick]

On a processor its time is taken, which other work on the machine does not lengthen; set OMP_NUM_THREADS=1 for figures
that can be compared. cabrnet and zennit are measured beside ours where they are installed. Each file of measurements
can be run alone, too.
"""

from __future__ import annotations

import bare_encoder
import cabrnet_run
import passes
import pictures
import relevance_maps
import several_devices
import thousand_classes
from timing import print_table

MEASUREMENTS = {
    **bare_encoder.MEASUREMENTS,
    **passes.MEASUREMENTS,
    **pictures.MEASUREMENTS,
    **relevance_maps.MEASUREMENTS,
    **thousand_classes.MEASUREMENTS,
    **several_devices.MEASUREMENTS,
    **cabrnet_run.MEASUREMENTS,
}

if __name__ == "__main__":
    print_table(MEASUREMENTS, __doc__)
