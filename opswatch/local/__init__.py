"""What runs on one's own machine and is never deployed: local host, ARM simulator, demo."""
