"""opswatch: watches Azure Resource Manager operations to their end, and calls you back."""
