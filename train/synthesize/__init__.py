"""Surfaces with known defects, drawn from a seed: data to try the whole chain without a camera."""

from train.synthesize.plan import set_plans, strip_plans
from train.synthesize.sample import Sample, render
from train.synthesize.settings import SynthesisSettings
from train.synthesize.write import set_samples, strip_frames, synthesize

__all__ = [
    "Sample",
    "SynthesisSettings",
    "render",
    "set_plans",
    "set_samples",
    "strip_frames",
    "strip_plans",
    "synthesize",
]
