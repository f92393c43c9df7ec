"""Measurements: ratios against peers, and how punctual the whole is; never run as tests."""
