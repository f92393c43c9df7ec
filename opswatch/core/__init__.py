"""What opswatch decides, without I/O: no network, clock, environment, randomness or logging."""
