"""The commands of the terminal: each a module with `add_arguments` and `command`."""
