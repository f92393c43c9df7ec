"""A stand-in for the Azure Functions host: runs any function app folder on this machine."""

from opswatch.local.host.host import LocalHost

__all__ = ["LocalHost"]
