"""A local replacement for the Azure Functions host: runs the function app of any folder."""

from opswatch.local.host.host import LocalHost

__all__ = ["LocalHost"]
