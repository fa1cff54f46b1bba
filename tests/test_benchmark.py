"""`benchmark`: five phases in turns, their spreads, and what the report says of the machine."""

import json
import shutil
import time
import xml.etree.ElementTree as ET
from contextlib import nullcontext
from itertools import count

import cv2
import numpy as np
import pytest

from runtime.benchmark import ALWAYS, HELD_FRAMES, NEVER, TURNS, Stopwatch, benchmark
from runtime.benchmark_table import report_table
from runtime.comparison import read_report
from runtime.engine import CallTimes
from runtime.errors import EngineError, SourceError
from runtime.frame import Frame
from runtime.histogram import histogram
from runtime.loop import inspector_of_bundle
from runtime.manifest import open_bundle
from runtime.preprocess import PixelFormat
from runtime.spread import spread_of

PHASES = ["gate", "mask", "shut", "open", "stream"]


@pytest.fixture
def strip(tmp_path):
    """Four pictures, one of them bright: the plain bundle's gate opens on that."""
    folder = tmp_path / "strip"
    folder.mkdir()
    for number, light in enumerate((0, 200, 0, 0)):
        cv2.imwrite(str(folder / f"{number}.png"), np.full((64, 64), light, np.uint8))
    return folder


@pytest.fixture
def bundle(plain_bundle):
    return open_bundle(plain_bundle)


@pytest.fixture
def report(bundle, strip):
    return measured(bundle, strip, 0.1, deadline_ms=0)


def measured(bundle, source, seconds=0.01, engine=None, **options):
    """The report of `seconds` a phase with this engine, or else onnxruntime."""
    inspector = inspector_of_bundle(bundle, engine)
    return benchmark(bundle, inspector, str(source), seconds, **options)


class DeviceEngine:
    """An engine that times its calls itself, and notes which calls were made at which threshold."""

    name = "device 1"
    tiles = 16

    def __init__(self):
        self.threshold = None
        self.timed = False
        self.thresholds = set()
        self.calls = []
        self.conventions = {"cuda_graph": True, "spin_wait": False}

    def gate(self, images):
        """A shut gate; the skips are a number."""
        self.thresholds.add(self.threshold)
        self.calls.append("gate")
        return np.full((len(images), 1), 0.4, np.float32), len(self.calls)

    def mask(self, skips, tile):
        """An empty mask, of the skips that are still good."""
        assert tile == 0
        if self.calls[-1] == "gate":
            assert skips == len(self.calls)  # those of the last gate: older ones are not good
        self.calls.append("mask")
        return np.zeros((1, 64, 64), np.uint8)

    def call_times(self):
        """Always the same."""
        assert self.timed
        return CallTimes(enqueue=0.25, h2d=1.0, compute=2.0, d2h=4.0)


@pytest.mark.parametrize("seed", range(3))
def test_a_spread_is_what_numpy_says(seed):
    times = np.random.default_rng(seed).gamma(2, 3, 1000).tolist()
    found = spread_of(times)
    ordered = sorted(times)
    assert (found.count, found.min, found.max) == (
        1000,
        round(ordered[0], 4),
        round(ordered[-1], 4),
    )
    assert found.p90 == round(ordered[899], 4)
    assert found.p99 == round(ordered[989], 4)
    assert found.median == pytest.approx(np.median(times), abs=1e-4)
    assert found.mean == pytest.approx(np.mean(times), abs=1e-4)


def test_jitter_is_the_mean_step_from_one_time_to_the_next():
    assert spread_of([1, 3, 2, 2]).jitter == 1
    assert spread_of([5]).jitter == 0


def test_no_times_have_no_spread():
    with pytest.raises(ValueError, match="no times"):
        spread_of([])


def test_each_phase_takes_its_turns(report):
    assert list(report.phases) == PHASES
    for phase in report.phases.values():
        times = [time for turn in phase.turns for time in turn]
        assert len(phase.turns) == TURNS
        assert phase.latency == spread_of(times)
        assert phase.deadline_misses == len(times)
        assert phase.parts == {}


def test_the_stream_opens_the_gate_as_often_as_the_source_does(report):
    n = report.phases["stream"].latency.count
    assert report.open_share == pytest.approx(0.25, abs=1 / n)


def test_the_report_says_on_what_it_was_measured(report, bundle):
    assert report.bundle == bundle.sha256
    assert report.engine.startswith("onnxruntime ")
    assert report.machine.cores >= 1
    assert report.settings.frame_size == (64, 64)
    assert report.settings.conventions == {}
    assert report.tiles == 1
    assert report.others_cores >= -0.5


def test_the_first_call_of_a_turn_is_not_counted():
    numbers = count()
    watch = Stopwatch(lambda: (float(next(numbers)), None))
    watch.turn(0, kept=False)
    watch.turn(0)
    watch.turn(0)
    assert watch.phase(None).turns == [[3.0], [5.0]]
    assert watch.phase(None).deadline_misses is None
    assert watch.phase(4.0).deadline_misses == 1


def test_an_engine_that_times_itself_is_believed(bundle, strip):
    engine = DeviceEngine()
    report = measured(bundle, strip, engine=engine)
    for name in ("gate", "mask"):
        phase = report.phases[name]
        assert (phase.latency.min, phase.latency.max) == (7, 7)
        medians = {part: spread.median for part, spread in phase.parts.items()}
        assert medians == {"enqueue": 0.25, "h2d": 1, "compute": 2, "d2h": 4}
    assert report.phases["shut"].parts == {}
    assert report.settings.conventions == {"cuda_graph": True, "spin_wait": False}
    assert "| gate | 7.000 | 7.000 | 7.000 | 7.000 | 7.000 | 0.000 | 0.250 |" in report_table(
        report
    )


def test_an_engine_that_begins_masks_itself_is_told_from_which_score_on(bundle, strip):
    engine = DeviceEngine()
    measured(bundle, strip, engine=engine)
    assert engine.thresholds == {NEVER, ALWAYS, bundle.manifest.limits.threshold}


def test_an_engine_that_was_not_asked_for_times_is_timed_here(bundle, strip, monkeypatch):
    monkeypatch.setattr(DeviceEngine, "call_times", lambda _: None)
    report = measured(bundle, strip, engine=DeviceEngine())
    assert 0 < report.phases["gate"].latency.min < 7
    assert report.phases["gate"].parts == {}


def test_an_engine_that_fails_is_an_error_and_no_time(bundle, strip):
    class Failing(DeviceEngine):
        def mask(self, skips, tile):
            """What happens when a device is lost."""
            del skips, tile
            raise EngineError("the device is gone")

    with pytest.raises(EngineError, match="the device is gone"):
        measured(bundle, strip, engine=Failing())


def test_a_frame_that_cannot_be_read_is_an_error(bundle, strip):
    (strip / "2.png").write_bytes(b"no image")
    with pytest.raises(SourceError, match=r"2\.png: .*measure with frames that can be read"):
        measured(bundle, strip)


def test_frames_are_copied_before_a_camera_takes_them_back(bundle, strip, monkeypatch):
    buffer = np.zeros((64, 64), np.uint8)  # one for every frame, as a driver may have it

    def frames():
        for seq in count():
            buffer[:] = 200 if seq == 1 else 0
            yield Frame(buffer, PixelFormat.GREY, str(seq), seq, time.monotonic_ns())

    seen = []

    class Watching(DeviceEngine):
        def gate(self, images):
            """Notes how bright the tiles are."""
            seen.append(int(images.max()))
            return super().gate(images)

    monkeypatch.setattr("runtime.benchmark.open_source", lambda *_: nullcontext(frames()))
    measured(bundle, strip, engine=Watching())
    assert seen[:3] == [0, 200, 0]


def test_other_frames_are_another_setting(bundle, strip, report):
    for number in range(HELD_FRAMES):
        shutil.copyfile(strip / "1.png", strip / f"9{number}.png")
    assert measured(bundle, strip).settings.frames != report.settings.frames


def test_the_picture_has_a_row_for_each_phase(report):
    picture = ET.fromstring(histogram(report))  # noqa: S314 - our own
    texts = [text.text for text in picture.iter("{http://www.w3.org/2000/svg}text")]
    assert [text for text in texts if text in PHASES] == PHASES
    bars = picture.findall("{http://www.w3.org/2000/svg}g")
    assert len(bars) == len(PHASES)
    assert all(len(group) >= 1 for group in bars)


def test_the_command_writes_report_and_picture(defectgate, plain_bundle, strip, tmp_path):
    json_file, picture = tmp_path / "out" / "report.json", tmp_path / "out" / "times.svg"
    done = defectgate(
        *("benchmark", "--bundle", plain_bundle, "--camera", strip, "--seconds", "0.1"),
        *("--deadline-ms", "1000", "--json", json_file, "--histogram", picture),
    )
    assert (done.returncode, done.stderr) == (0, "")
    rows = [line.split(" | ")[0].strip("| ") for line in done.stdout.splitlines() if "|" in line]
    assert rows == ["ms", "---", *PHASES]
    assert "later than 1000 ms" in done.stdout
    assert done.stdout == report_table(read_report(json_file)) + "\n"
    assert json.loads(json_file.read_bytes())["phases"].keys() == set(PHASES)
    assert picture.read_text(encoding="utf-8").startswith("<svg ")
