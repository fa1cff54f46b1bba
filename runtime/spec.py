"""What a network takes, and where its verdict lies: plain data that every stage shares."""

from dataclasses import dataclass

from runtime.tiling import Fit

UNLIKE = 1.2  # times as wide or as high as any frame that was taught


@dataclass(frozen=True)
class InputSpec:
    """The network's input in pixels, and how a frame is brought to it; `scale` is for tiles.

    `taught` are the least and the greatest width and height of the frames that it learned from;
    older records do not say them.
    """

    width: int
    height: int
    channels: int
    fit: Fit = Fit.STRETCH
    scale: float = 1.0
    taught: tuple[int, int, int, int] | None = None

    @property
    def size(self) -> tuple[int, int]:
        """(width, height)."""
        return self.width, self.height

    @property
    def taught_sizes(self) -> str:
        """What `taught` says, for people; empty without it."""
        if self.taught is None:
            return ""
        least, greatest = (f"{w}x{h}" for w, h in (self.taught[:2], self.taught[2:]))
        return least if least == greatest else f"{least} to {greatest}"

    def unlike(self, size: tuple[int, int]) -> str:
        """Why a part may look another size to the network in frames of `size`; else empty."""
        if self.taught is None:
            return ""
        sides = zip(size, self.taught[:2], self.taught[2:], strict=True)
        if all(least / UNLIKE <= side <= greatest * UNLIKE for side, least, greatest in sides):
            return ""
        return (
            f"a frame is {size[0]}x{size[1]}, the model was taught {self.taught_sizes}: a part may "
            "have another size or shape to it; set the camera to that, or train on its frames"
        )


@dataclass(frozen=True)
class Limits:
    """The gate opens at `threshold`; a mask pixel is defective from `mask_threshold` on.

    Components smaller than `min_area_px`, in pixels of the frame, are no defects. An open sample
    that scores below `review_below` is for a person to see; 0 where there is no such zone.
    """

    threshold: float = 0.5
    mask_threshold: float = 0.5
    min_area_px: float = 0.0
    review_below: float = 0.0
