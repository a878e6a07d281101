"""Properties are tested without a clock, on the same examples in every run."""

from hypothesis import settings

settings.register_profile("longarm", deadline=None, derandomize=True)
settings.load_profile("longarm")
