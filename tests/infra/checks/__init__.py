"""Checks of everything that deploys opswatch, without a Bicep compiler and without a network.

Each module has a `check(project)` that returns what it found wrong; nothing here asserts.
"""

from tests.infra.checks import (
    alerts,
    azd,
    closed,
    deploy_workflow,
    documents,
    host,
    kusto,
    naming,
    policy,
    resource_types,
    rights,
    runbook,
    settings,
    symbols,
    workbook,
    workflows,
)
from tests.infra.checks.finding import Finding
from tests.infra.checks.project import Project

CHECKS = (
    symbols,
    resource_types,
    policy,
    closed,
    rights,
    naming,
    settings,
    alerts,
    kusto,
    workbook,
    runbook,
    documents,
    host,
    azd,
    workflows,
    deploy_workflow,
)

__all__ = ["CHECKS", "Finding", "Project"]
