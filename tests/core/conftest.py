"""How Hypothesis runs here: as many examples as usual, and no deadline on a busy machine."""

from hypothesis import settings

settings.register_profile("opswatch", max_examples=100, deadline=None)
settings.load_profile("opswatch")
