"""One sample: a window of a surface as the camera sees it, with its defect, mask and contrast."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from train.synthesize.defects import Defect, defect
from train.synthesize.dust import dust
from train.synthesize.noise import Plane
from train.synthesize.plan import Plan
from train.synthesize.streams import generator
from train.synthesize.surfaces import surface

Grey = NDArray[np.uint8]  # (H, W)

NEAR_PX, FAR_PX = 3, 13  # the local background lies between these distances from the mask


@dataclass(frozen=True)
class Sample:
    """What one plan looks like.

    Attributes:
        plan: what was asked for.
        image: (H, W) grey levels.
        good: (H, W), the same window without its defect.
        mask: (H, W), 255 where the defect covers at least half of the pixel, else 0.
        contrast: measured contrast-to-noise, 0 for a good sample.
    """

    plan: Plan
    image: Grey
    good: Grey
    mask: Grey
    contrast: float


def render(plan: Plan) -> Sample:
    """Draw the sample that was planned."""
    source = generator(plan.seed, plan.key)
    material = surface(plan.surface_kind, plan.seed, plan.surface_key)
    light = plan.exposure * material.window(plan.top_px, plan.size)
    light = light + dust(plan.size, source)
    level = light + _sensor(light) * material.sensor_noise(plan.top_px, plan.size)
    good = _quantised(level)
    if plan.contrast is None:
        return Sample(plan, good, good, np.zeros_like(good), 0.0)
    found = defect(plan.name, material.grain, plan.size, source)
    mask = np.where(found.coverage >= 0.5, 255, 0).astype(np.uint8)  # noqa: PLR2004
    image = _quantised(level + _amplitude(found, mask, good, plan.contrast) * found.relief)
    return Sample(plan, image, good, mask, contrast_to_noise(image, good, mask))


def contrast_to_noise(image: Grey, good: Grey, mask: Grey) -> float:
    """Measure the defect against its surroundings.

    It is the median absolute change over the mask, divided by the standard deviation of the
    good surface in a ring NEAR_PX to FAR_PX around the mask.
    """
    change = np.abs(image.astype(np.float32) - good)
    return float(np.median(change[mask > 0]) / _background_deviation(good, mask))


def _amplitude(found: Defect, mask: Grey, good: Grey, contrast: float) -> float:
    typical = float(np.median(np.abs(found.relief[mask > 0])))
    return contrast * _background_deviation(good, mask) / typical


def _background_deviation(good: Grey, mask: Grey) -> float:
    ring = _grown(mask, FAR_PX) & ~_grown(mask, NEAR_PX)
    return float(good[ring > 0].std())


def _grown(mask: Grey, by_px: int) -> Grey:
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * by_px + 1, 2 * by_px + 1))
    return np.asarray(cv2.dilate(mask, disc), np.uint8)


def _sensor(light: Plane) -> Plane:
    """Give the noise's standard deviation: what reading adds, and what counting photons adds."""
    return np.asarray(np.sqrt(0.8**2 + 0.012 * np.maximum(light, 0)), np.float32)


def _quantised(level: Plane) -> Grey:
    return np.clip(np.rint(level), 0, 255).astype(np.uint8)
