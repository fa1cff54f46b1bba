"""What each sample will show, by its number alone: split, part, class, contrast, exposure."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import floor

from train.synthesize.defects import CLASSES, CONTRAST_SHARE
from train.synthesize.settings import SynthesisSettings
from train.synthesize.streams import Key, Stream, generator, shuffled_block
from train.synthesize.surfaces import KINDS

GOOD = "good"
SPLITS = ("train", "val", "train", "test", "train")  # five parts in a row: 60, 20 and 20 %
SHUFFLED_TOGETHER = 20  # among so many samples in a row the share of defective ones is exact


@dataclass(frozen=True)
class Plan:
    """One sample before it is drawn.

    Attributes:
        name: scratch, crack, pit, stain or good.
        split: train, val or test.
        group: the part or strip that it shows.
        size: width and height, px.
        seed: the seed of everything drawn.
        key: the address of the sample's own random numbers.
        surface_kind: brushed, ground, rolled or plastic.
        surface_key: the address of the surface; the same for the whole group.
        top_px: the first row of the surface that it shows.
        exposure: factor on the light.
        contrast: the contrast-to-noise to reach; None for a good sample.
    """

    name: str
    split: str
    group: str
    size: tuple[int, int]
    seed: int
    key: Key
    surface_kind: str
    surface_key: Key
    top_px: int
    exposure: float
    contrast: float | None


def set_plans(settings: SynthesisSettings) -> Iterator[Plan]:
    """Plan a set: parts of all surfaces, each with a few images of its own exposure."""
    for index in range(settings.samples):
        part, piece = divmod(index, settings.images_per_part)
        key = (Stream.SAMPLE, index)
        yield Plan(
            name=(name := _class(settings, index)),
            split=SPLITS[part % len(SPLITS)],
            group=f"part{part:04d}",
            size=settings.size,
            seed=settings.seed,
            key=(*key, 0),
            surface_kind=_kind(settings.seed, part),
            surface_key=(Stream.PART, part),
            top_px=piece * settings.size[1],
            exposure=generator(settings.seed, (*key, 1)).uniform(0.8, 1.15),
            contrast=_contrast(settings, name, key),
        )


def strip_plans(settings: SynthesisSettings) -> Iterator[Plan]:
    """Plan a strip: frame after frame of one surface that no set shows, in one exposure."""
    kind = KINDS[generator(settings.seed, (Stream.STRIP, 0)).integers(len(KINDS))]
    for index in range(settings.frames or 0):
        key = (Stream.FRAME, index)
        yield Plan(
            name=(name := _class(settings, index)),
            split="test",
            group="strip",
            size=settings.size,
            seed=settings.seed,
            key=(*key, 0),
            surface_kind=kind,
            surface_key=(Stream.STRIP, 1),
            top_px=index * settings.size[1],
            exposure=1.0,
            contrast=_contrast(settings, name, key),
        )


def _class(settings: SynthesisSettings, index: int) -> str:
    """Draw the class so that the share is kept and the classes stay balanced all along."""
    block, place = divmod(index, SHUFFLED_TOGETHER)
    order = shuffled_block(settings.seed, (Stream.DEFECTIVE, block), SHUFFLED_TOGETHER)
    turn = block * SHUFFLED_TOGETHER + order[place]
    before, after = (floor(settings.share * n + 1e-9) for n in (turn, turn + 1))
    if before == after:
        return GOOD
    round_, place = divmod(before, len(CLASSES))
    return CLASSES[shuffled_block(settings.seed, (Stream.CLASS, round_), len(CLASSES))[place]]


def _kind(seed: int, part: int) -> str:
    round_, place = divmod(part, len(KINDS))
    return KINDS[shuffled_block(seed, (Stream.KIND, round_), len(KINDS))[place]]


def _contrast(settings: SynthesisSettings, name: str, key: Key) -> float | None:
    if name == GOOD:
        return None
    drawn = generator(settings.seed, (*key, 2)).uniform(*settings.contrast)
    return float(CONTRAST_SHARE[name] * drawn)
