"""The commands: one module each, imported when it runs or its help is shown."""
