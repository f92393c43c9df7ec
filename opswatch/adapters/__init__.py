"""The outside world behind `ports`: Azure Storage, ARM, callbacks, and their in-memory twins."""
