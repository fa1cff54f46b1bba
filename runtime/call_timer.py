"""How long one call of an engine takes: its work by the GPU's events, its copies by the clock."""

from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter_ns
from typing import Any

from runtime.engine import CallTimes
from runtime.gpu import Gpu

NS_IN_MS = 1e6


class CallTimer:
    """Begins when it is made, with the copy of the input."""

    def __init__(self, gpu: Gpu) -> None:
        self._gpu = gpu
        self._began_ns = perf_counter_ns()
        self._h2d_ns = self._enqueue_ns = self._waited_ns = 0
        self._events: tuple[Any, Any]

    @contextmanager
    def work(self) -> Iterator[None]:
        """Around what launches or enqueues the work."""
        self._h2d_ns = perf_counter_ns() - self._began_ns
        first = self._gpu.mark()
        before_ns = perf_counter_ns()
        yield
        self._enqueue_ns = perf_counter_ns() - before_ns
        self._events = first, self._gpu.mark()

    def waited(self) -> None:
        """The work is done, and the copy of the results begins."""
        self._waited_ns = perf_counter_ns()

    def times(self) -> CallTimes:
        """What it took, at the end of that copy."""
        d2h_ns = perf_counter_ns() - self._waited_ns
        first, last = self._events
        return CallTimes(
            enqueue=self._enqueue_ns / NS_IN_MS,
            h2d=self._h2d_ns / NS_IN_MS,
            compute=float(last.time_since(first)),
            d2h=d2h_ns / NS_IN_MS,
        )
