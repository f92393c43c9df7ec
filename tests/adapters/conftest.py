"""Loads the profile of Hypothesis that the core's tests have."""

from tests.core import conftest as _profile  # noqa: F401 - loads the profile
