"""Dust: specks smaller than any defect, that an inspection must pass over."""

import numpy as np

from train.synthesize.noise import Plane
from train.synthesize.strokes import Stroke, drawn

SPECK_RADIUS_PX = (0.5, 1.0)
BRIGHTNESS = (10.0, 35.0)  # grey levels
SIGNS = (1, 1, 1, -0.4)  # most dust scatters light; dark specks are faint, since pits are dark
MEAN_SPECKS, MOST_SPECKS = 2.0, 8
MARGIN_PX = 4


def dust(size: tuple[int, int], source: np.random.Generator) -> Plane:
    """Draw the change of grey level by a few specks: (H, W), zero where there are none."""
    width, height = size
    specks = np.zeros((height, width), np.float32)
    for _ in range(min(source.poisson(MEAN_SPECKS), MOST_SPECKS)):
        centre = source.uniform(MARGIN_PX, np.subtract(size, 1 + MARGIN_PX))
        radius = np.array([source.uniform(*SPECK_RADIUS_PX)])
        brightness = source.uniform(*BRIGHTNESS) * source.choice(SIGNS)
        specks += brightness * drawn([Stroke(centre[None], radius, np.ones(1))], size)[1]
    return specks
