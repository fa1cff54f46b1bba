"""Reads an image size from the command line."""

import typer


def parse_size(text: str) -> tuple[int, int]:
    """(width, height) from `WIDTHxHEIGHT`, both multiples of 32, as the encoder's strides want."""
    width, times, height = text.lower().partition("x")
    if not (times and width.isdecimal() and height.isdecimal()):
        raise typer.BadParameter(f"'{text}' is not WIDTHxHEIGHT, such as 256x256")
    size = int(width), int(height)
    if any(side == 0 or side % 32 for side in size):
        raise typer.BadParameter(f"{text}: both sides must be multiples of 32")
    return size
