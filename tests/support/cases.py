"""Tables of test cases: each has a name, which is its id in pytest's report."""

from collections.abc import Mapping

import pytest


def cases(names: str, table: Mapping[str, object]) -> pytest.MarkDecorator:
    """Run a test once for each entry of `table`: a value, or a tuple of one for each name."""
    return pytest.mark.parametrize(names, table.values(), ids=table)
