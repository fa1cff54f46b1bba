"""The formats that cameras give and that can be judged, the best for inspection first."""

import numpy as np
import numpy.typing as npt

from runtime.preprocess import PixelFormat

MJPEG = "MJPEG"  # decoded to BGR

# Colour before grey, for it holds the grey too; what a camera has made itself before what its
# sensor saw; the cheaper before the dearer; what loses details last.
FOURCC = {
    "YUYV": b"YUYV",
    "UYVY": b"UYVY",
    "NV12": b"NV12",
    "RGB": b"RGB3",
    "BGR": b"BGR3",
    "RGGB8": b"RGGB",
    "GRBG8": b"GRBG",
    "GBRG8": b"GBRG",
    "BGGR8": b"BA81",
    "RGGB10": b"RG10",
    "GRBG10": b"BA10",
    "GBRG10": b"GB10",
    "BGGR10": b"BG10",
    "RGGB10P": b"pRAA",
    "GRBG10P": b"pgAA",
    "GBRG10P": b"pGAA",
    "BGGR10P": b"pBAA",
    "GREY": b"GREY",
    "Y10": b"Y10 ",
    "Y12": b"Y12 ",
    "Y16": b"Y16 ",
    "Y10P": b"Y10P",
    MJPEG: b"MJPG",
}


CODES = {name: int.from_bytes(code, "little") for name, code in FOURCC.items()}
NAMES = {code: name for name, code in CODES.items()}
BITS = {name: 10 for name in FOURCC if name.endswith(("B10", "G10", "R10"))} | {
    "Y10": 10,
    "Y12": 12,
}
IN_COLOUR = {name for name in FOURCC if not name.startswith(("GREY", "Y1"))}


def pixel_format(name: str) -> PixelFormat:
    """What a frame of the format `name` is for preprocessing."""
    return PixelFormat["BGR" if name == MJPEG else name]


def exceeds_its_bits(pixels: npt.NDArray[np.uint8], name: str) -> bool:
    """Whether a frame in words of 10 or 12 bits has others set, looked for in its middle row.

    As where a driver puts the bits to the top of the word, against the kernel's definition.
    """
    if name not in BITS:
        return False
    words = np.ascontiguousarray(pixels[len(pixels) // 2]).view("<u2")
    return bool(words.max(initial=0) >> BITS[name])


def text_of(fourcc: int) -> str:
    """Our name of a format, or the kernel's letters where it cannot be judged."""
    letters = (fourcc & 0x7FFFFFFF).to_bytes(4, "little").decode("ascii", "replace").strip()
    return NAMES.get(fourcc, letters + ("-BE" if fourcc >> 31 else ""))
