"""How opswatch scales and what it costs: a model with the real core, in virtual time.

    python -m benchmarks.scale [--most 100000] [--write]

`docs/scaling.md` says what is modelled, and what is assumed. Printed are instances, messages,
executions, transactions and dollars a month for watches that wait, at gaps of 10 s, 60 s and 5 min;
where the limits are; and the table of costs of infra/README.md. `--write` puts the tables into both
pages. The seeds are fixed: every run prints the same. The last line is JSON.

A run with 100,000 watches takes some minutes.
"""

import argparse
import json

from benchmarks.scaling.report import (
    GAPS,
    INFRA,
    SCALING,
    WATCHES,
    compute,
    cost_table,
    price_table,
    waiting_table,
    wall_table,
    write,
)


def main() -> None:
    """Compute, print, and write if asked to."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.scale",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--most", type=int, default=WATCHES[-1], help="watches")
    parser.add_argument("--write", action="store_true")
    asked = parser.parse_args()
    chosen = [watches for watches in WATCHES if watches <= asked.most]
    cells = {(watches, gap): compute(watches, gap) for watches in chosen for gap in GAPS}
    most = min(chosen[-1], 10_000)
    parts = {
        "waiting": (SCALING, waiting_table(cells)),
        "limits": (SCALING, wall_table({gap: cells[most, gap] for gap in GAPS})),
        "prices": (INFRA, price_table()),
        "costs": (INFRA, cost_table()),
    }
    for name, (path, text) in parts.items():
        print(f"{text}\n")
        if asked.write:
            write(path, name, text)
    figures = {
        f"{watches}/{gap}": {
            "instances": usage.instances,
            "dollars": round(usage.month.running, 2),
            "messages": usage.messages,
            "late_p99": round(usage.late_p99, 2),
        }
        for (watches, gap), usage in cells.items()
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
