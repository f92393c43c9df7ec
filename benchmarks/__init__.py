"""Measurements: ratios to peers, and the punctuality of the whole app; never run as tests.

Of `tests` they import `tests.support` and nothing else.
"""
