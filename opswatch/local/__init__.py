"""Tools for a developer's machine, never deployed: local host, ARM simulator and demo."""
