"""How often `benchmark compare` refuses what is as fast as before, and what is a tenth slower.

    python tests/benchmarks/noise.py --bundle demo/bundle --camera demo/strip/images/test

A trial is three reports of the bundle, one after the other: the baseline, the same again, and one
whose engine takes a tenth longer for each call. Only phases where the engine is nearly all of the
time can be a tenth slower: gate and mask.
"""

import argparse
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from runtime.benchmark import Report, benchmark
from runtime.comparison import changes
from runtime.engine import Engine
from runtime.loop import inspector_of_bundle
from runtime.manifest import Bundle, open_bundle
from runtime.onnx_engine import OnnxEngine

TOLERANCE = 0.05
ANY = "any, which is exit status 3"


class SlowerEngine:
    """Another engine, whose calls take longer by a share."""

    def __init__(self, engine: Engine, share: float) -> None:
        self._engine, self._share = engine, share
        self.name, self.tiles = engine.name, engine.tiles

    def gate(self, images: Any) -> Any:
        """As the other's, later."""
        return self._later(lambda: self._engine.gate(images))

    def mask(self, skips: Any, tile: int) -> Any:
        """As the other's, later."""
        return self._later(lambda: self._engine.mask(skips, tile))

    def _later(self, call: Callable[[], Any]) -> Any:
        began = time.perf_counter()
        result = call()
        end = began + (time.perf_counter() - began) * (1 + self._share)
        while time.perf_counter() < end:
            pass
        return result


def main() -> None:
    """Run the trials, and print how many of each kind were refused."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--camera", required=True, help="a folder of frames")
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=1.0, help="for each phase of a report")
    parser.add_argument("--pause", type=float, default=0.0, help="seconds between trials")
    asked = parser.parse_args()
    bundle = open_bundle(asked.bundle)
    counts: Counter[tuple[str, str]] = Counter()
    for trial in range(asked.trials):
        base, same, slower = (
            report_of(bundle, asked.camera, asked.seconds, share) for share in (0, 0, 0.1)
        )
        for kind, new in (("as it was", same), ("a tenth slower", slower)):
            slowed = [c.phase for c in changes(base, new) if c.is_slowdown(TOLERANCE)]
            counts.update((phase, kind) for phase in [*slowed, *([ANY] if slowed else [])])
        medians = [f"{r.phases['gate'].latency.median:.3f}" for r in (base, same, slower)]
        refused = {" ".join(key): count for key, count in counts.items() if count}
        sys.stderr.write(f"trial {trial}: gate {', '.join(medians)} ms; refused so far {refused}\n")
        time.sleep(asked.pause)
    sys.stdout.write(f"| refused in {asked.trials} trials | as it was | engine a tenth slower |\n")
    sys.stdout.write("|---|---|---|\n")
    for phase in (*base.phases, ANY):
        cells = [str(counts[phase, kind]) for kind in ("as it was", "a tenth slower")]
        sys.stdout.write(f"| {phase} | {' | '.join(cells)} |\n")


def report_of(bundle: Bundle, uri: str, seconds: float, share: float) -> Report:
    """A report by a fresh engine."""
    networks = (bundle.root / f"cpu/{part}.onnx" for part in ("gate", "mask"))
    engine = SlowerEngine(OnnxEngine(*networks, threads=1), share)
    inspector = inspector_of_bundle(bundle, engine)
    return replace(benchmark(bundle, inspector, uri, seconds), others_cores=0.0)


if __name__ == "__main__":
    main()
