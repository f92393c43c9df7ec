"""Calls the commands of `opswatch.local`, which read their options from an argparse namespace."""

import argparse
from collections.abc import Callable
from typing import Any, TypeVar

import click

T = TypeVar("T")


def run_local(command: Callable[[argparse.Namespace], int], options: dict[str, Any]) -> int:
    """Run a command of `opswatch.local` with `options`; return its exit code."""
    return command(argparse.Namespace(**options))


def parsed_by(parse: Callable[[str], T]) -> Callable[[str], T]:
    """Return `parse` as the type of an option: the text of its `ValueError` is shown."""

    def convert(text: str) -> T:
        try:
            return parse(text)
        except ValueError as error:
            raise click.BadParameter(str(error)) from error

    return convert
