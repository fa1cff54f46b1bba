"""Random numbers by address: what is drawn for one thing never depends on another."""

from enum import IntEnum

import numpy as np

Key = tuple[int, ...]


class Stream(IntEnum):
    """The first word of a key: what the numbers are for."""

    DEFECTIVE = 0
    CLASS = 1
    KIND = 2
    PART = 3
    SAMPLE = 4
    STRIP = 5
    FRAME = 6


def generator(seed: int, key: Key) -> np.random.Generator:
    """Give the generator at one address; other addresses give independent numbers."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))


def shuffled_block(seed: int, key: Key, size: int) -> list[int]:
    """Give 0..size-1 in the order that belongs to one address."""
    return [int(place) for place in generator(seed, key).permutation(size)]
