"""Checks of the files around the templates, which need neither Bicep nor a network.

Each module has a `check(project)` that returns its findings, each as "place: message".
"""

from tests.infra.checks import (
    azd,
    deploy_workflow,
    documents,
    functions,
    host,
    kusto,
    outputs,
    runbook,
    sample,
    workbook,
    workflows,
)  # fmt: skip
from tests.infra.checks.project import Project

CHECKS = (
    azd,
    deploy_workflow,
    documents,
    functions,
    host,
    kusto,
    outputs,
    runbook,
    sample,
    workbook,
    workflows,
)

__all__ = ["CHECKS", "Project"]
