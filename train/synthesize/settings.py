"""The settings of a synthetic set or strip, checked when they are made."""

from dataclasses import dataclass

from runtime.errors import DataError

SMALLEST_SIDE_PX = 64
PARTS_TO_FILL_EVERY_SPLIT = 5


@dataclass(frozen=True)
class SynthesisSettings:
    """What to draw: a set in train, val and test, or a strip that runs under a line.

    Attributes:
        samples: images of the set; a strip does not use it.
        frames: length of the strip in frames; None writes a set.
        size: width and height of an image, px.
        seed: the same seed gives the same bytes.
        defective_share: share of defective images in [0, 1]; None: half of a set, a tenth
            of a strip.
        images_per_part: images that show one part and so stay in one split.
        contrast: range of the defects' contrast-to-noise; stains are fainter (see defects.py).
    """

    samples: int = 480
    frames: int | None = None
    size: tuple[int, int] = (256, 256)
    seed: int = 0
    defective_share: float | None = None
    images_per_part: int = 4
    contrast: tuple[float, float] = (1.5, 9.0)

    def __post_init__(self) -> None:
        fewest = PARTS_TO_FILL_EVERY_SPLIT * self.images_per_part
        low, high = self.contrast
        _expect("seed", self.seed, "0 or more", holds=self.seed >= 0)
        _expect("images_per_part", self.images_per_part, "1 or more", holds=fewest > 0)
        _expect("frames", self.frames, "1 or more", holds=self.frames is None or self.frames > 0)
        _expect(
            "samples",
            self.samples,
            f"{fewest} or more, so that five parts fill train, val and test",
            holds=self.frames is not None or self.samples >= fewest,
        )
        _expect(
            "size",
            self.size,
            f"{SMALLEST_SIDE_PX} px or more a side, to hold a defect",
            holds=min(self.size) >= SMALLEST_SIDE_PX,
        )
        _expect("defective_share", self.share, "0 to 1", holds=0 <= self.share <= 1)
        _expect("contrast", self.contrast, "0 < low <= high", holds=0 < low <= high)

    @property
    def share(self) -> float:
        """The share of defective images, in [0, 1]."""
        if self.defective_share is not None:
            return self.defective_share
        return 0.5 if self.frames is None else 0.1


def _expect(name: str, value: object, expected: str, *, holds: bool) -> None:
    if not holds:
        raise DataError(f"synthesis: {name} is {value}, expected {expected}; change {name}")
