"""What holds for every test: hypothesis has no clock, since the machine may be shared."""

from hypothesis import settings

settings.register_profile("without_clock", deadline=None)
settings.load_profile("without_clock")
