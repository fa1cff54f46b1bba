"""Where a sample's defects are: a mask file, run lengths or shapes, whatever the dataset has.

A drawing gives the class index of every pixel as uint8 (H, W): 0 is good, k the k-th defect class.
Where shapes or runs overlap, the later one in the file lies on top.
"""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from runtime.errors import DataError
from runtime.images import Image

WHITE = 255
JPEG = frozenset({".jfif", ".jpeg", ".jpg"})
ORIENTATION = 0x0112  # of EXIF
BLACK = 8  # and below, in the brightest channel
MAX_CLASSES = 32
MAX_PIXELS = 2**30  # as OpenCV allows an image to have
FARTHEST_PX = 2**15  # of a corner, in a smaller image: at 1e9 pycocotools crashes
Shape = tuple[int, int]  # (height, width)


class Drawing(Protocol):
    """Draws the truth of one sample."""

    def draw(self, shape: Shape) -> Image:
        """The class index of every pixel, (H, W) = `shape`.

        Raises:
            DataError: unreadable, or of another size than the image.
        """

    def digest(self) -> bytes:
        """Changes when the drawing does."""

    def file(self) -> Path:
        """Where a person would mend it."""


@dataclass(frozen=True)
class MaskFile:
    """An image file: 0 is good, and 255 is of class `index`; or, without one, classes by index."""

    path: Path
    index: int | None

    def draw(self, shape: Shape) -> Image:
        """As `Drawing.draw`."""
        mask = read_mask_file(self.path) if self.index else read_indices(self.path)
        if mask.shape != shape:
            height, width = mask.shape
            raise DataError(
                f"{self.path}: mask is {width}x{height}, its image is {shape[1]}x{shape[0]}; "
                "draw the mask on the image it belongs to"
            )
        if self.index is None:
            return mask
        return np.where(mask > 0, self.index, 0).astype(np.uint8)

    def digest(self) -> bytes:
        """As `Drawing.digest`."""
        return hashlib.sha256(self.path.read_bytes()).digest()

    def file(self) -> Path:
        """As `Drawing.file`."""
        return self.path


@dataclass(frozen=True)
class Relabelled:
    """A drawing whose class k becomes `indices[k]`."""

    drawing: Drawing
    indices: tuple[int, ...]

    def draw(self, shape: Shape) -> Image:
        """As `Drawing.draw`."""
        drawn = self.drawing.draw(shape)
        unknown = int(drawn.max(initial=0))
        if unknown >= len(self.indices):
            raise DataError(
                f"{self.file()}: has a pixel of class {unknown}, the set has "
                f"{len(self.indices) - 1} classes; mend the mask, or name its class"
            )
        return np.asarray(self.indices, np.uint8)[drawn]

    def digest(self) -> bytes:
        """As `Drawing.digest`."""
        return self.drawing.digest()

    def file(self) -> Path:
        """As `Drawing.file`."""
        return self.drawing.file()


def require_recorded_size(where: str, recorded: Shape, shape: Shape) -> None:
    """Refuse an image that has another size than the one that its labels were drawn on.

    Raises:
        DataError: it has.
    """
    if recorded != shape:
        raise DataError(
            f"{where} was labelled at {recorded[1]}x{recorded[0]}, its image is "
            f"{shape[1]}x{shape[0]}; restore that image, or label this one"
        )


def largest_class(areas: Iterable[tuple[int, float]]) -> int:
    """The class index with the largest area of these (index, area); the first of equals."""
    total: dict[int, float] = defaultdict(float)
    for index, area in areas:
        total[index] += area
    return max(total, key=total.__getitem__)


def read_mask_file(path: Path) -> Image:
    """The mask in the image file `path`, (H, W): 0 and 255, or class indices up to 32.

    A palette image gives its indices, but for one of white and black in that order, which is an
    image of 255 and 0. A mask of 0 and 1 may be either and comes as it is.

    Raises:
        DataError: unreadable, of several pictures, coloured, drawn in its transparency, or with
            values that are neither.
    """
    from PIL import Image as Pillow

    Pillow.MAX_IMAGE_PIXELS = MAX_PIXELS
    try:
        with Pillow.open(path) as opened:
            mode, count = opened.mode, getattr(opened, "n_frames", 1)
            dark = _dark_indices(opened)
            mask = np.asarray(opened.convert("L") if _white_comes_first(opened) else opened)
    except (OSError, ValueError, TypeError, SyntaxError, Pillow.DecompressionBombError) as error:
        reason = getattr(error, "strerror", None) or f"{path.stat().st_size} bytes"
        raise DataError(
            f"{path}: is not a readable image ({reason}); restore or remove the file"
        ) from error
    if count > 1:
        raise DataError(
            f"{path}: holds {count} pictures, of which only the first would be seen; draw all "
            "defects into one"
        )
    if mask.ndim == 3:  # noqa: PLR2004 - colours
        mask = _one_channel(path, mask)
    values = np.unique(mask).tolist()
    if dark and 0 not in dark and dark & set(values):
        raise DataError(
            f"{path}: its palette has a colour for index 0, which is good, and black for a defect; "
            "save 0 and 255, or class indices, as grey PNG"
        )
    if not (set(values) <= {0, WHITE} or set(values) <= set(range(MAX_CLASSES + 1))):
        raise DataError(
            f"{path}: mask has the values {_few(values)} ({mode}), expected 0 and 255, or "
            f"class indices up to {MAX_CLASSES}; save it as PNG, not smoothed and not as JPEG"
        )
    return mask.astype(np.uint8)


def read_indices(path: Path) -> Image:
    """The class indices in the mask file `path`, (H, W).

    Raises:
        DataError: as `read_mask_file`, or 255 among them, or in a JPEG.
    """
    indices = read_mask_file(path)
    if path.suffix.lower() in JPEG and indices.any():
        raise DataError(f"{path}: holds class indices, which JPEG changes; save it as PNG")
    if WHITE in indices:
        raise DataError(
            f"{path}: mask has the value {WHITE}, other masks of the set hold class indices; "
            "save it with the index of its class"
        )
    return indices


def is_turned_unseen(image: Path) -> bool:
    """Whether a JPEG is turned or mirrored when it is read, and has the same size as before."""
    from PIL import Image as Pillow

    if image.suffix.lower() not in JPEG:
        return False
    with Pillow.open(image) as opened:
        orientation, (width, height) = opened.getexif().get(ORIENTATION), opened.size
    return orientation in {2, 3, 4} or (orientation in {5, 6, 7, 8} and width == height)


def holds_indices(masks: Sequence[Path]) -> bool:
    """Whether the mask files hold class indices: one of them has a 2 or more."""
    return any(1 < int(read_mask_file(path).max(initial=0)) < WHITE for path in masks)


def _white_comes_first(opened: Any) -> bool:
    """Whether a palette image is a picture in black and white: quantisers put white first."""
    if opened.mode != "P":
        return False
    palette = np.reshape(opened.getpalette("RGB"), (-1, 3)).sum(axis=1)
    return bool(palette[0] == 3 * WHITE and np.isin(palette, (0, 3 * WHITE)).all())


def _dark_indices(opened: Any) -> set[int]:
    """The indices that a palette image shows as black; none where it is a picture."""
    if opened.mode != "P" or _white_comes_first(opened):
        return set()
    palette = np.reshape(opened.getpalette("RGB"), (-1, 3))
    return {int(index) for index in np.flatnonzero(palette.max(axis=1) < BLACK)}


def _one_channel(path: Path, mask: Image) -> Image:
    last = 3 if mask.shape[2] > 2 else 1  # noqa: PLR2004 - alpha, where there is one
    colours, alpha = mask[..., :last], mask[..., last:] > 0
    if (alpha != alpha[:1, :1]).any() and (alpha != (colours[..., :1] > 0)).any():
        raise DataError(
            f"{path}: mask is drawn in its transparency; save 0 and 255, or class indices, "
            "as grey PNG without it"
        )
    if (colours != colours[..., :1]).any():
        raise DataError(f"{path}: mask has colours; save 0 and 255, or class indices, as grey PNG")
    return colours[..., 0]


def _few(values: list[float]) -> str:
    return ", ".join(map(str, values[:6])) + (", ..." if len(values) > 6 else "")  # noqa: PLR2004
