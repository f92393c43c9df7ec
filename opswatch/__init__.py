"""opswatch: watches Azure Resource Manager operations to their end, and calls you back."""

__version__ = "0.2.0"  # the only place: pyproject.toml and the terminal read it here
