"""The cost of a poll: opswatch, which stores each one, beside the SDK's pollers in memory."""
