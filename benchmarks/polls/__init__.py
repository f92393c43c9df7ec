"""What a poll costs: opswatch, which writes each one down, beside the SDK's pollers in memory."""
