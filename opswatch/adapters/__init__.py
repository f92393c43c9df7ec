"""The outside world behind `ports`: Azure Storage, ARM, callbacks."""
