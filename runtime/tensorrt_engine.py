"""Runs a bundle's two TensorRT plans: one CUDA graph each, replayed by C (`native/replay.c`).

Image, scores and masks lie in host memory that the GPU sees; the skips never leave the device. The
mask head of a tile reads them where the gate wrote them. Both networks share scratch memory.
"""

import atexit
import traceback
from collections.abc import Mapping
from contextlib import nullcontext
from typing import Any

import numpy as np
import numpy.typing as npt

from runtime import _native
from runtime.call_timer import CallTimer
from runtime.engine import CallTimes
from runtime.errors import EngineError, GpuLostError, say
from runtime.gpu import Gpu, listener, tensorrt
from runtime.network import Bound, Network, Scratch

LIBCUDA = "libcuda.so.1"
PATIENCE_S = 2.0
ALIGNMENT = 256  # bytes, of every address that TensorRT takes
Networks = Mapping[str, bytes]  # the plans "gate" and "mask"


class TensorRtEngine:
    """The engine contract (`runtime.engine.Engine`) over a pair of plans.

    The masks of the tiles that score `threshold` or more are begun as soon as the scores are
    there. After a fault everything on the GPU is made anew, where CUDA lets this process do so. For
    the thread that made it, alone.

    Raises:
        EngineError: a plan cannot be loaded, or the GPU fails.
        GpuLostError: it failed, and CUDA lets only another process go on.
    """

    def __init__(
        self,
        plans: Networks,
        threshold: float,
        precision: str,
        *,
        dla_core: int | None = None,
        spin: bool = False,
        graphs: bool = True,
    ) -> None:
        self._plans, self._precision = plans, precision
        self.threshold, self._dla_core = threshold, dla_core
        self._spin, self._graphs = spin, graphs
        self._session: _Session | None = None
        self._failed = False
        self.timed = False
        self._said = ""
        self._live()

    @property
    def name(self) -> str:
        """Library, version, precision, and why no CUDA graph is used where that is so."""
        dla = "" if self._dla_core is None else f" dla {self._dla_core}"
        name = f"tensorrt {tensorrt().__version__} {self._precision}{dla}"
        return f"{name}, no CUDA graph: {self._said}" if self._said else name

    @property
    def conventions(self) -> dict[str, bool]:
        """How this engine replays, waits and copies, for who compares times."""
        return {"cuda_graph": not self._said, "spin_wait": self._spin, "host_mapped": True}

    def call_times(self) -> CallTimes | None:
        """Of the last call, where it was `timed` and began the work."""
        return self._session.times if self._session else None

    @property
    def tiles(self) -> int:
        """The most tiles that the gate takes at once."""
        return self._live().tiles

    def gate(self, images: npt.NDArray[np.uint8]) -> tuple[npt.NDArray[np.float32], Any]:
        """Scores (N, K); the skips are the number of this call."""
        scores, number = self._run(
            lambda session: session.gate(images, self.threshold, timed=self.timed)
        )
        if not np.isfinite(scores).all():
            self._give_up()
            raise EngineError("the score is not a number; the GPU's context is made anew")
        return scores, number

    def mask(self, skips: Any, tile: int) -> npt.NDArray[np.uint8]:
        """The mask of one tile, (K, H, W), while no other gate has run."""
        mask: npt.NDArray[np.uint8] = self._run(
            lambda session: session.mask(skips, tile, timed=self.timed)
        )
        return mask

    def layers(self) -> dict[str, str]:
        """What TensorRT tells of the layers of both plans, as JSON."""
        session = self._live()
        return {"gate": session.gate_network.layers(), "mask": session.mask_network.layers()}

    def close(self) -> None:
        """Give the GPU back; the next call takes it again."""
        atexit.unregister(self.close)
        session, self._session = self._session, None
        if session:
            session.close()

    def _live(self) -> "_Session":
        if self._session is None:
            self._session = self._anew()
            atexit.register(self.close)  # pycuda aborts where a context outlives Python
            if self._session.said and not self._said:
                self._said = self._session.said
                say(f"CUDA graphs cannot be used: {self._said}; enqueued instead")
        return self._session

    def _give_up(self) -> None:
        self.close()
        self._failed = True

    def _anew(self) -> "_Session":
        try:
            gpu = _gpu(spin=self._spin)
        except EngineError as error:
            if not self._failed:
                raise
            raise GpuLostError(f"this process has lost the GPU, start it again: {error}") from error
        self._failed = False
        return _opened(gpu, self._plans, self._dla_core, spin=self._spin, graphs=self._graphs)

    def _run(self, work: Any) -> Any:
        session = self._live()
        try:
            return work(session)
        except session.gpu.faults as error:
            traceback.clear_frames(error.__traceback__)
            self._give_up()
            said = str(error).partition("\n")[0]
            raise EngineError(f"tensorrt: {said}; the GPU's context is made anew") from error


def _opened(gpu: Gpu, plans: Networks, dla_core: int | None, **how: bool) -> "_Session":
    session = _Session(gpu, **how)
    try:
        session.load(plans, dla_core)
    except BaseException as error:
        traceback.clear_frames(error.__traceback__)  # they hold what must go before the context
        session.close()
        if isinstance(error, gpu.faults):
            raise EngineError(f"tensorrt: {str(error).partition(chr(10))[0]}") from error
        raise
    return session


def _gpu(*, spin: bool) -> Gpu:
    try:
        return Gpu(spin=spin)
    except EngineError:
        raise
    except Exception as error:  # pycuda's, whose class is not at hand yet
        raise EngineError(f"no CUDA context: {error}") from error


class _Session:
    """Everything that lives on the GPU, from one fault to the next."""

    def __init__(self, gpu: Gpu, *, spin: bool, graphs: bool) -> None:
        self.gpu, self._spin = gpu, spin
        self.said = "" if graphs else "they were not asked for"
        self._gates: dict[int, Bound] = {}
        self._masks: list[Bound] = []
        self.times: CallTimes | None = None
        self._number = 0
        self._launched = b""

    def load(self, plans: Networks, dla_core: int | None) -> None:
        """Load the plans, allocate, warm up and capture for as many tiles as the gate takes."""
        self._cuda = _native.cuda_open(LIBCUDA)
        logger = listener()
        self.gate_network = Network("gate", plans["gate"], logger, dla_core)
        self.mask_network = Network("mask", plans["mask"], logger, dla_core)
        gate, mask = self.gate_network, self.mask_network
        self.tiles = gate.most("image")
        batch = (self.tiles,)
        self._image, image = self.gpu.map(batch + gate.shape("image"), np.uint8)
        self._scores, scores = self.gpu.map(batch + gate.shape("score"), np.float32)
        stride = -(-mask.size("mask") // ALIGNMENT) * ALIGNMENT
        self._mask, masks = self.gpu.map((self.tiles, stride), np.uint8)
        self._image[...], self._scores[...], self._mask[...] = 0, 0, 0
        sizes = {name: gate.size(name) for name in mask.inputs}
        for name, size in sizes.items():
            if (size, gate.dtype(name)) != (mask.size(name), mask.dtype(name)):
                raise EngineError(f"the plans disagree on {name}; build them anew")
        skips = {name: self.gpu.allocate(self.tiles * size) for name, size in sizes.items()}
        need = max(gate.scratch, mask.scratch, 1)
        self._scratch = Scratch(self.gpu.allocate(need), need)
        self._least = gate.least("image")
        self._gate_addresses = {"image": image, "score": scores, **skips}
        self._gate_of(self.tiles)
        for tile in range(self.tiles):
            places = {name: skips[name] + tile * size for name, size in sizes.items()}
            self._masks.append(self._mask_of(places, sizes, masks + tile * stride))

    def gate(
        self, images: npt.NDArray[np.uint8], threshold: float, *, timed: bool
    ) -> tuple[npt.NDArray[np.float32], int]:
        """Scores, and the number of this call; masks are begun from `threshold` on."""
        tiles = len(images)
        if tiles > self.tiles or images.shape[1:] != self._image.shape[1:]:
            taken = "x".join(map(str, self._image.shape))
            raise EngineError(
                f"the gate's plan takes {taken}, got {'x'.join(map(str, images.shape))}; "
                f"defectgate build --tiles {tiles} makes it larger"
            )
        gate = self._gate_of(max(tiles, self._least))
        timer = CallTimer(self.gpu) if timed else None
        np.copyto(self._image[:tiles], images)
        begun = timer is not None or not gate.graph
        if begun:
            self._begin(gate, timer)
        graphs = tuple(mask.graph for mask in self._masks[:tiles])
        scores = self._scores[:tiles]
        self._launched = _native.replay(
            self._cuda,
            self.gpu.stream,
            0 if begun else gate.graph,
            scores,
            graphs if all(graphs) else (),
            threshold,
            self._spin,
            PATIENCE_S,
        )
        self._number += 1
        return self._copied(scores, timer), self._number

    def mask(self, number: int, tile: int, *, timed: bool) -> npt.NDArray[np.uint8]:
        """The mask of one tile, launched here unless its score did that."""
        if number != self._number:
            raise EngineError("the skips were overwritten by a later gate; draw before that")
        timer = None
        if not self._launched[tile]:
            timer = CallTimer(self.gpu) if timed else None
            self._begin(self._masks[tile], timer)
        _native.stream_wait(self._cuda, self.gpu.stream, self._spin, PATIENCE_S)
        shape, size = self.mask_network.shape("mask"), self.mask_network.size("mask")
        return self._copied(self._mask[tile, :size], timer).reshape(shape)

    def _copied(self, mapped: npt.NDArray[Any], timer: CallTimer | None) -> npt.NDArray[Any]:
        if not timer:
            self.times = None
            return np.array(mapped)
        timer.waited()
        copy = np.array(mapped)
        self.times = timer.times()
        return copy

    def _begin(self, bound: Bound, timer: CallTimer | None) -> None:
        """Launch the network's graph, or enqueue its work."""
        with timer.work() if timer else nullcontext():
            if bound.graph:
                _native.graph_launch(self._cuda, bound.graph, self.gpu.stream)
            else:
                bound.enqueue()

    def close(self) -> None:
        """Give everything back: TensorRT's objects before the context that they live in."""
        self._free_graphs()
        self._gates.clear()
        self._masks.clear()
        self.gate_network = self.mask_network = None  # type: ignore[assignment]
        self.gpu.close()

    def _free_graphs(self) -> None:
        for bound in (*self._gates.values(), *self._masks):
            if bound.graph:
                _native.graph_free(self._cuda, bound.graph)

    def _gate_of(self, tiles: int) -> Bound:
        """The gate for so many tiles: a graph needs a context of its own."""
        if tiles not in self._gates:
            bound = self.gate_network.bind(self._scratch, self._gate_addresses, tiles, self.gpu)
            self._gates[tiles] = bound
            self._warm_up(bound)
        return self._gates[tiles]

    def _mask_of(self, places: dict[str, int], sizes: dict[str, int], mask: int) -> Bound:
        """The mask head of one tile; a skip that is not aligned is copied to where it is."""
        addresses, copies = {"mask": mask}, []
        for name, place in places.items():
            if place % ALIGNMENT:
                addresses[name] = self.gpu.allocate(sizes[name])
                copies.append((addresses[name], place, sizes[name]))
            else:
                addresses[name] = place
        bound = self.mask_network.bind(self._scratch, addresses, 1, self.gpu)
        bound.copies.extend(copies)
        self._warm_up(bound)
        return bound

    def _warm_up(self, bound: Bound) -> None:
        """Run once, then capture; where capture fails, that is said, and the work is enqueued."""
        bound.enqueue()
        self.gpu.synchronize()
        if self.said:
            return
        try:
            _native.capture_begin(self._cuda, self.gpu.stream)
            try:
                bound.enqueue()
            finally:
                bound.graph = _native.capture_end(self._cuda, self.gpu.stream)
        except self.gpu.faults as error:
            self.said = str(error).partition("\n")[0]
            self.gpu.synchronize()
