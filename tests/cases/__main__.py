"""Play cases by hand: `python -m tests.cases [FILE ...] [-k TEXT]`; without a file, our own."""

import argparse
import asyncio
import sys
from pathlib import Path

from tests.cases.runner import play, read_cases


def main() -> int:
    parser = argparse.ArgumentParser(prog="tests.cases", description=__doc__)
    parser.add_argument("files", nargs="*", type=Path)
    parser.add_argument("-k", default="", help="only cases with this text in group or title")
    options = parser.parse_args()
    files = options.files or sorted(Path(__file__).with_name("own").glob("*.json"))
    cases = [case for case in read_cases(*files) if options.k in f"{case.group}: {case.title}"]
    wrong = asyncio.run(play(cases))
    for title, problems in wrong.items():
        print(title, *problems, sep="\n    ")  # noqa: T201
    print(f"{len(cases) - len(wrong)} of {len(cases)} cases come out right")  # noqa: T201
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
