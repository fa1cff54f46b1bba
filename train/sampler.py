"""Chooses an epoch's samples: defective and good in equal parts, nobody forgotten."""

from collections.abc import Sequence

import numpy as np


class BalancedSampler:
    """Draws epochs in which half of the samples are defective.

    Within each half those that were used least come first, in random order, so over the epochs
    every good sample gets its turn, however many there are. An epoch depends on the seed, its
    number and the epochs drawn before: draw them in order.
    """

    def __init__(self, defective: Sequence[bool], seed: int) -> None:
        labels = np.asarray(defective, bool)
        self._halves = [np.flatnonzero(labels), np.flatnonzero(~labels)]
        self._used = np.zeros(len(labels), np.int64)
        self._seed = seed

    def __len__(self) -> int:
        return len(self._used)

    def epoch(self, number: int) -> list[int]:
        """As many indices as there are samples, shuffled."""
        rng = np.random.default_rng((self._seed, number))
        halves = [half for half in self._halves if half.size]
        length = len(self._used)
        sizes = [length] if len(halves) == 1 else [length // 2, length - length // 2]
        drawn = np.concatenate(
            [self._draw(half, size, rng) for half, size in zip(halves, sizes, strict=True)]
        )
        return [int(index) for index in rng.permutation(drawn)]

    def _draw(
        self, half: "np.ndarray[tuple[int], np.dtype[np.intp]]", size: int, rng: np.random.Generator
    ) -> "np.ndarray[tuple[int], np.dtype[np.intp]]":
        rounds, rest = divmod(size, half.size)
        shuffled = rng.permutation(half)
        rarest = shuffled[np.argsort(self._used[shuffled], kind="stable")[:rest]]
        drawn = np.concatenate([np.tile(half, rounds), rarest])
        np.add.at(self._used, drawn, 1)
        return drawn
