"""How Hypothesis runs here: its usual examples or half, and no deadline on a busy machine."""

from hypothesis import settings

from tests.support.thorough import share

settings.register_profile("opswatch", max_examples=share(100, of=2), deadline=None)
settings.load_profile("opswatch")
