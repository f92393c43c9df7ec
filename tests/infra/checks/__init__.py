"""Checks of the files around the templates, which need neither Bicep nor a network.

Each module has a `check(project)` that returns its findings; nothing here asserts.
"""

from tests.infra.checks import (
    azd,
    deploy_workflow,
    documents,
    host,
    kusto,
    runbook,
    sample,
    workbook,
    workflows,
)
from tests.infra.checks.finding import Finding
from tests.infra.checks.project import Project

CHECKS = (
    azd,
    deploy_workflow,
    documents,
    host,
    kusto,
    runbook,
    sample,
    workbook,
    workflows,
)

__all__ = ["CHECKS", "Finding", "Project"]
