"""The loop from a source to lines of JSON: every frame gets a verdict, and the counts add up."""

import math
import shutil
import threading
from dataclasses import replace

import cv2
import numpy as np
import pytest
from loops import assert_conserved, grey, lines_of, run

import runtime.engines
import runtime.loop
from runtime.errors import EngineError, SourceError
from runtime.loop import run_source
from runtime.manifest import open_bundle
from runtime.onnx_engine import OnnxEngine
from runtime.spec import InputSpec
from runtime.tiling import Fit

TILED = InputSpec(64, 64, 1, Fit.TILE)


@pytest.fixture(scope="module")
def images(visible_set):
    return visible_set / "images" / "test"


@pytest.fixture(scope="module")
def judged(int8_bundle, images, tmp_path_factory):
    """The lines of the test split, as a file."""
    out = tmp_path_factory.mktemp("judged") / "verdicts.jsonl"
    run_source(open_bundle(int8_bundle), str(images), out, None, None)
    return out


def write_video(path, pictures):
    size = pictures[0].shape[1], pictures[0].shape[0]
    video = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10, size)
    assert video.isOpened()
    for picture in pictures:
        video.write(cv2.cvtColor(picture, cv2.COLOR_GRAY2BGR))
    video.release()


def with_engine(monkeypatch, engine):
    monkeypatch.setattr(runtime.engines, "OnnxEngine", engine)


def test_a_folder_gets_one_verdict_an_image_in_sorted_order(judged, images):
    _, *verdicts, counts = lines_of(judged)
    assert [line["source"] for line in verdicts] == sorted(path.name for path in images.iterdir())
    assert [line["seq"] for line in verdicts] == list(range(24))
    assert_conserved(verdicts, counts)
    assert counts["UNKNOWN"] == counts["dropped"] == 0
    assert min(counts["OK"], counts["NG"]) > 0


def test_the_verdict_is_ng_where_the_score_reaches_the_threshold(judged):
    header, *verdicts, _ = lines_of(judged)
    for line in verdicts:
        assert (line["verdict"] == "NG") == (line["score"] >= header["threshold"])


def test_the_first_line_says_what_judges(judged, int8_bundle, images):
    header = lines_of(judged)[0]
    bundle = open_bundle(int8_bundle)
    assert header["type"] == "header"
    assert header["schema"] == 1
    assert header["bundle"] == bundle.sha256
    assert header["engine"].startswith("onnxruntime ")
    assert header["precision"] == "int8"
    assert header["threshold"] == bundle.manifest.limits.threshold
    assert header["guarantee"] is None
    assert header["source"] == str(images)


def test_a_verdict_tells_what_was_found_and_how_long_it_took(judged):
    for line in lines_of(judged)[1:-1]:
        stages = {"preprocess", "gate", "total"}
        if line["verdict"] == "NG":
            stages |= {"mask", "blobs"}
        else:
            assert line["defects"] == []
        assert line["latency_ms"].keys() == stages
        parts = sum(ms for name, ms in line["latency_ms"].items() if name != "total")
        assert line["latency_ms"]["total"] == pytest.approx(parts, abs=1e-3)
        for defect in line["defects"]:
            x, y, width, height = defect["bbox"]
            assert defect["class"] == "defect"
            assert min(x, y, width - 1, height - 1) >= 0
            assert max(x + width, y + height) <= 96
            assert 0 < defect["area_px"] <= (width + 1) * (height + 1)  # the box is rounded
            assert 0 < defect["score"] <= 1
    assert any(line.get("defects") for line in lines_of(judged))


def test_capture_times_never_go_back(judged):
    times = [line["t_capture_ns"] for line in lines_of(judged)[1:-1]]
    assert times == sorted(times)


def test_an_unreadable_image_is_unknown_and_the_loop_goes_on(int8_bundle, images, tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    good = sorted(images.iterdir())[:3]
    for name, source in zip(("0.png", "3.png", "9.png"), good, strict=True):
        shutil.copyfile(source, folder / name)
    (folder / "1.png").write_bytes(b"")
    (folder / "2.jpg").write_bytes(b"no image")
    (folder / "4.png").write_bytes(good[0].read_bytes()[:1000])
    (folder / "5.png").mkdir()
    (folder / "notes.txt").write_text("is no image and is passed over", encoding="utf-8")

    _, verdicts, counts = run(int8_bundle, folder, tmp_path / "lines")

    names = ["0.png", "1.png", "2.jpg", "3.png", "4.png", "5.png", "9.png"]
    assert [line["source"] for line in verdicts] == names
    unknown = {line["source"] for line in verdicts if line["verdict"] == "UNKNOWN"}
    assert unknown == {"1.png", "2.jpg", "4.png", "5.png"}
    assert counts["UNKNOWN"] == 4
    for line in verdicts:
        if line["source"] in unknown:
            assert str(folder / line["source"]) in line["reason"]
            assert line["score"] is None
            assert line["defects"] == []
        else:
            assert "reason" not in line


def test_every_frame_of_a_video_is_judged(int8_bundle, images, tmp_path):
    pictures = grey(*sorted(images.iterdir())[:12])
    write_video(tmp_path / "line.avi", pictures)
    header, verdicts, counts = run(int8_bundle, tmp_path / "line.avi", tmp_path / "lines")
    assert [line["source"] for line in verdicts] == [f"line.avi#{n}" for n in range(12)]
    assert [line["seq"] for line in verdicts] == list(range(12))
    assert counts["dropped"] == 0
    stills = run(int8_bundle, images, tmp_path / "stills", frames=12)[1]
    scores = [[line["score"] for line in found] for found in (verdicts, stills)]
    assert np.corrcoef(scores)[0, 1] > 0.9  # the same pictures, but for the codec
    assert header["source"] == str(tmp_path / "line.avi")


@pytest.mark.parametrize(("name", "frames"), [("folder", 5), ("folder", 100), ("video", 5)])
def test_no_more_frames_are_judged_than_asked_for(int8_bundle, images, tmp_path, name, frames):
    source = images
    if name == "video":
        source = tmp_path / "line.avi"
        write_video(source, grey(*sorted(images.iterdir())[:8]))
    counts = run(int8_bundle, source, tmp_path / "lines", frames=frames)[2]
    assert counts["samples"] == min(frames, 24)


def test_a_source_that_cannot_be_opened_leaves_no_output(int8_bundle, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").write_text("is no video", encoding="utf-8")
    out, overlays = tmp_path / "out" / "lines", tmp_path / "overlays"
    for name, said in (
        ("nowhere", "no such camera, video file or folder"),
        ("empty", "holds no image"),
        ("notes.txt", "is no video that OpenCV can read"),
    ):
        with pytest.raises(SourceError, match=f"{name}: {said}"):
            run_source(open_bundle(int8_bundle), str(tmp_path / name), out, overlays, None)
        assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "notes.txt"]


def test_a_device_that_is_no_camera_is_said(int8_bundle, tmp_path):
    with pytest.raises(SourceError, match="/dev/null: is no camera that streams"):
        run_source(open_bundle(int8_bundle), "/dev/null", tmp_path / "lines", None, None)
    assert not list(tmp_path.iterdir())


def test_a_broken_network_is_said(int8_bundle, images, tmp_path):
    shutil.copytree(int8_bundle, tmp_path / "bundle")
    bundle = open_bundle(tmp_path / "bundle")
    (tmp_path / "bundle" / "cpu" / "mask.onnx").write_bytes(b"changed since it was opened")
    with pytest.raises(EngineError, match=r"mask\.onnx: onnxruntime cannot load it"):
        run_source(bundle, str(images), tmp_path / "lines", None, None)
    assert not (tmp_path / "lines").exists()


def test_frames_of_another_size_than_was_taught_are_said_once(
    int8_bundle, images, tmp_path, capsys
):
    run(int8_bundle, images, tmp_path / "lines")
    assert capsys.readouterr().err == ""
    for name in ("a", "b"):
        cv2.imwrite(str(tmp_path / f"{name}.png"), np.zeros((96, 160), np.uint8))
    run(int8_bundle, tmp_path, tmp_path / "others")
    assert capsys.readouterr().err == (
        f"--camera {tmp_path}: a frame is 160x96, the model was taught 96x96: a part may have "
        "another size or shape to it; set the camera to that, or train on its frames\n"
    )


@pytest.mark.parametrize(
    ("size", "is_alike"), [((500, 350), True), ((640, 350), False), ((500, 200), False)]
)
def test_frames_between_those_that_were_taught_are_alike(size, is_alike):
    spec = InputSpec(64, 64, 1, taught=(400, 300, 500, 400))
    assert (spec.unlike(size) == "") == is_alike
    assert replace(spec, taught=None).unlike(size) == ""


def test_the_mask_head_runs_only_where_the_gate_opens(int8_bundle, images, tmp_path, monkeypatch):
    calls = []

    class Counting(OnnxEngine):
        def gate(self, batch):
            calls.append("gate")
            return super().gate(batch)

        def mask(self, skips, tile):
            calls.append("mask")
            return super().mask(skips, tile)

    with_engine(monkeypatch, Counting)
    _, verdicts, counts = run(int8_bundle, images, tmp_path / "lines")
    expected = [["gate", "mask"] if line["verdict"] == "NG" else ["gate"] for line in verdicts]
    assert calls == [call for frame in expected for call in frame]
    assert 0 < counts["NG"] < 24


@pytest.mark.parametrize("score", [math.nan, math.inf, -math.inf])
def test_a_score_that_is_no_number_is_unknown(int8_bundle, images, tmp_path, monkeypatch, score):
    class Failing(OnnxEngine):
        seen = 0

        def gate(self, batch):
            scores, skips = super().gate(batch)
            self.seen += 1
            return (scores * 0 + score if self.seen == 2 else scores), skips

    with_engine(monkeypatch, Failing)
    _, verdicts, counts = run(int8_bundle, images, tmp_path / "lines", frames=4)
    assert [line["seq"] for line in verdicts if line["verdict"] == "UNKNOWN"] == [1]
    assert counts["UNKNOWN"] == 1
    assert verdicts[1]["score"] is None
    assert verdicts[1]["reason"] == "the score is not a number"


@pytest.mark.parametrize("network", ["gate", "mask"])
def test_a_device_that_fails_on_a_frame_makes_it_unknown(
    int8_bundle, images, tmp_path, monkeypatch, network
):
    class Failing(OnnxEngine):
        calls = 0

        def gate(self, batch):
            self.fail("gate")
            return super().gate(batch)

        def mask(self, skips, tile):
            self.fail("mask")
            return super().mask(skips, tile)

        def fail(self, called):
            self.calls += called == network
            if called == network and self.calls == 1:
                raise EngineError("the device has a bad day")

    with_engine(monkeypatch, Failing)
    _, verdicts, counts = run(int8_bundle, images, tmp_path / "lines")
    (unknown,) = [line for line in verdicts if line["verdict"] == "UNKNOWN"]
    assert unknown["reason"] == "the device has a bad day"
    assert min(counts["OK"], counts["NG"]) > 0


def test_a_frame_too_large_to_shrink_is_unknown(int8_bundle, images, tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    cv2.imwrite(str(folder / "a.png"), np.zeros((4, 64 * 128 + 1), np.uint8))
    shutil.copyfile(min(images.iterdir()), folder / "b.png")
    _, verdicts, _ = run(int8_bundle, folder, tmp_path / "lines")
    assert verdicts[0]["verdict"] == "UNKNOWN"
    assert "128 times" in verdicts[0]["reason"]
    assert verdicts[1]["verdict"] in {"OK", "NG"}


def test_a_lost_source_is_said_after_the_counts(int8_bundle, images, tmp_path, monkeypatch):
    class Lost:
        def __init__(self, uri, channels, stop):
            self.source = open_source(uri, channels, stop)

        def __enter__(self):
            return self.frames(self.source.__enter__())

        def __exit__(self, *error):
            return self.source.__exit__(*error)

        def frames(self, source):
            for _ in range(3):
                yield next(source)
            raise SourceError("--camera: was lost")

    open_source = runtime.loop.open_source
    monkeypatch.setattr(runtime.loop, "open_source", Lost)
    with pytest.raises(SourceError, match="was lost"):
        run_source(open_bundle(int8_bundle), str(images), tmp_path / "lines", None, None)
    _, *verdicts, counts = lines_of(tmp_path / "lines")
    assert counts["samples"] == 3
    assert_conserved(verdicts, counts)


def test_a_run_that_is_told_to_stop_writes_the_verdict_at_hand(int8_bundle, images, tmp_path):
    stop = threading.Event()
    stop.set()
    counts = run_source(open_bundle(int8_bundle), str(images), tmp_path / "lines", stop=stop)
    _, verdict, last = lines_of(tmp_path / "lines")
    assert verdict["seq"] == 0
    assert last == counts.record()
    assert last["samples"] == 1


def test_a_video_without_a_frame_is_refused(int8_bundle, tmp_path):
    empty = tmp_path / "empty.avi"
    cv2.VideoWriter(str(empty), cv2.VideoWriter.fourcc(*"MJPG"), 10, (64, 64)).release()
    with pytest.raises(SourceError, match=r"empty\.avi: (holds no frame|is no video)"):
        run_source(open_bundle(int8_bundle), str(empty), tmp_path / "lines")
    assert not (tmp_path / "lines").exists()
