"""The formats that cameras give and that can be judged, the best for inspection first."""

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


def pixel_format(name: str) -> PixelFormat | None:
    """What a frame of the format `name` is for preprocessing, or None where it takes no such."""
    return PixelFormat.__members__.get("BGR" if name == MJPEG else name)


NAMES = {
    int.from_bytes(code, "little"): name for name, code in FOURCC.items() if pixel_format(name)
}
CODES = {name: code for code, name in NAMES.items()}
IN_COLOUR = {name for name in FOURCC if not name.startswith(("GREY", "Y1"))}


def text_of(fourcc: int) -> str:
    """Our name of a format, or the kernel's letters where it cannot be judged."""
    letters = (fourcc & 0x7FFFFFFF).to_bytes(4, "little").decode("ascii", "replace").strip()
    return NAMES.get(fourcc, letters + ("-BE" if fourcc >> 31 else ""))


def shape(name: str, width: int, height: int) -> tuple[int, ...]:
    """The shape of the uint8 array that a frame fills, but for gaps between its rows."""
    if name == "NV12":
        return height * 3 // 2, width
    if name.endswith("10P"):
        return height, width * 5 // 4
    if name in {"RGB", "BGR"}:
        return height, width, 3
    in_twos = name in {"YUYV", "UYVY", "Y12", "Y16"} or name.endswith("10")
    return (height, width, 2) if in_twos else (height, width)
