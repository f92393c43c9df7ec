"""`opswatch` and `python -m opswatch`: the terminal, or one line on what it lacks."""

import sys


def main() -> int:
    """Run one command of the terminal; return its exit code.

    The package alone is the client: the terminal's own packages may be missing.
    """
    try:
        from opswatch.cli import main as run_command  # noqa: PLC0415 - it imports click

        return run_command()
    except ModuleNotFoundError as error:
        if (error.name or "opswatch").startswith("opswatch"):
            raise
        print(  # noqa: T201 - click may be what is missing
            f"The terminal needs the package {error.name}: pip install 'opswatch[local]'",
            file=sys.stderr,
        )
        return 2


if __name__ == "__main__":
    sys.exit(main())
