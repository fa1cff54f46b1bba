"""The report: one file that says what was measured, loads nothing, and looks right in a browser."""

import os
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest
from exports import sealed

from train.dataset import read_dataset
from train.judge import judge_of
from train.report.report import REPORT
from train.scorecard import evaluate, measure_all

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


@pytest.fixture(scope="module")
def report(int8_bundle, visible_set, tmp_path_factory):
    """The report of an INT8 bundle, with its float network beside it."""
    folder = tmp_path_factory.mktemp("report")
    evaluate(int8_bundle, visible_set, "test", None, None, folder)
    return folder / REPORT


@pytest.fixture(scope="module")
def reviewing(plain_bundle, drawn_set, tmp_path_factory):
    """A bundle that rejects nothing, and leaves 11 of the 15 samples for training to a person."""
    (measured,) = measure_all([judge_of(plain_bundle)], read_dataset(drawn_set), "train", None)
    threshold = sorted(o.score for o in measured.outcomes)[4]
    return limited(plain_bundle, tmp_path_factory.mktemp("reviewing") / "bundle", threshold)


def limited(bundle, out, threshold):
    """A copy of `bundle` that leaves to a person whatever opens at `threshold`."""
    return sealed(bundle, out, limits={"threshold": threshold, "review_below": 2.0})


class Page(HTMLParser):
    """Tags with their attributes, and the text between them."""

    def __init__(self, source):
        super().__init__()
        self.tags, self.text = [], ""
        self.feed(source)

    def handle_starttag(self, tag, attrs):
        """Keep the tag."""
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        """Keep the text."""
        self.text += data


@pytest.fixture(scope="module")
def page(report):
    return Page(report.read_text(encoding="utf-8"))


def test_the_report_loads_and_runs_nothing(report, page):
    source = report.read_text(encoding="utf-8")
    assert "script" not in {tag for tag, _ in page.tags}
    links = [a[name] for _, a in page.tags for name in ("href", "src", "xlink:href") if name in a]
    assert links
    assert all(link.startswith(("data:", "#")) for link in links)
    assert not re.search(r"url\((?!#)|@import|https?://", source)
    assert not [name for _, attributes in page.tags for name in attributes if name.startswith("on")]


def test_the_report_says_what_evaluate_counted(page, int8_bundle, visible_set):
    metrics = evaluate(int8_bundle, visible_set, "test", None, None)
    defective, good = metrics["n_defective"], metrics["n"] - metrics["n_defective"]
    caught = round(metrics["recall"] * defective)
    rejected = round(metrics["false_reject_rate"] * good)
    headline = f"Caught {caught} of {defective} defective, rejected {rejected} of {good} good."
    assert headline in page.text
    for name in ("image_ap", "gated_seg_miou", "pooled_miou"):
        assert f"{metrics[name]:.3f}" in page.text
    assert re.search(r"[+-]0\.\d{3}[+-]0\.\d{3} to [+-]0\.\d{3}", page.text)  # and its interval
    for title in ("its network in float", "Which defects are caught", "Verdicts that differ"):
        assert title in page.text


def test_the_same_model_and_data_give_the_same_bytes(report, int8_bundle, visible_set, tmp_path):
    evaluate(int8_bundle, visible_set, "test", None, None, tmp_path / "again")
    assert (tmp_path / "again" / REPORT).read_bytes() == report.read_bytes()


def test_names_of_the_data_cannot_become_markup(int8_bundle, visible_set, tmp_path):
    copy = tmp_path / "<b>set</b>"
    shutil.copytree(visible_set, copy)
    table = copy / "split.csv"
    text = table.read_text(encoding="utf-8").replace("scratch", "<i>x</i>")
    table.write_text(text, encoding="utf-8")
    evaluate(int8_bundle, copy, "test", None, None, tmp_path / "out")
    source = (tmp_path / "out" / REPORT).read_text(encoding="utf-8")
    assert "<b>set" not in source
    assert "<i>x" not in source


def screenshot(report, out, width, height, *flags):
    command = [CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
    command += [f"--screenshot={out}", f"--window-size={width},{height}", *flags]
    command += [f"--user-data-dir={out}.profile", report.as_uri()]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)
    assert out.exists(), done.stderr
    return cv2.imread(str(out))


@pytest.mark.skipif(CHROMIUM is None, reason="needs chromium, to look at the page")
@pytest.mark.parametrize("width", [1200, 420])
def test_the_report_looks_right_in_a_browser(report, tmp_path, width):
    picture = screenshot(report, tmp_path / "page.png", width, 1600)
    assert picture.shape == (1600, width, 3)
    light = picture.reshape(-1, 3)
    assert (light == (249, 247, 246)).all(axis=1).mean() > 0.05  # the page's own ground
    blue = (np.abs(light.astype(int) - (181, 109, 47)).max(axis=1) < 8).sum()
    assert blue > 200  # defective samples in the charts
    assert (light.max(axis=1) < 90).mean() > 0.005  # text


@pytest.mark.skipif(CHROMIUM is None, reason="needs chromium, to look at the page")
def test_the_report_is_dark_where_the_reader_wants_it_dark(report, tmp_path):
    flags = ("--force-dark-mode", "--blink-settings=preferredColorScheme=0")
    picture = screenshot(report, tmp_path / "page.png", 1200, 1600, *flags)
    assert np.median(picture) < 60


def test_of_defective_samples_alone_nothing_is_said_of_good_ones(
    int8_bundle, visible_set, tmp_path, capsys
):
    copy = tmp_path / "set"
    shutil.copytree(visible_set, copy)
    table = copy / "split.csv"
    head, *lines = table.read_text(encoding="utf-8").splitlines()
    kept = [line for line in lines if ",good," not in line]
    table.write_text("\n".join([head, *kept]), encoding="utf-8")
    evaluate(int8_bundle, copy, "test", None, None, tmp_path / "out")
    text = Page((tmp_path / "out" / REPORT).read_text(encoding="utf-8")).text
    assert re.search(r"Caught \d+ of \d+ defective\.", text)
    for name in ("Image AP", "False rejects", "Recall at 5 %", "Precision and recall"):
        assert name not in text
    assert re.search(r"recall at 5 % false\s+│ -", capsys.readouterr().out)


def test_a_run_alone_is_reported_without_a_second_model(trained_run, visible_set, tmp_path):
    evaluate(trained_run, visible_set, "test", None, None, tmp_path / "out")
    text = Page((tmp_path / "out" / REPORT).read_text(encoding="utf-8")).text
    assert "run, float" in text
    assert "Verdicts that differ" not in text
    assert "None" not in text


def test_good_samples_that_a_person_sees_are_not_called_rejected(reviewing, drawn_set, tmp_path):
    evaluate(reviewing, drawn_set, "train", None, None, tmp_path / "out")
    text = Page((tmp_path / "out" / REPORT).read_text(encoding="utf-8")).text
    assert re.search(r"Caught \d of 6 defective, rejected 0 of 9 good, left 11 to a person\.", text)
    assert re.search(r"11 samples, \d defective and \d good, which score below 2\.000\.", text)
    assert "REVIEW below 2.000, mask" in text
    assert re.search(r"0 good samples were rejected, \d left to a person", text)


def test_folders_are_named_where_one_is_in_them(reviewing, drawn_set, tmp_path, monkeypatch):
    odd = shutil.copytree(os.fsencode(reviewing), os.fsencode(tmp_path) + b"/b\xe9")
    monkeypatch.chdir(odd)
    evaluate(Path(), os.path.relpath(drawn_set), "test", None, None, tmp_path / "out")
    assert (
        f"b\\xe9 (bundle, float) on {drawn_set.name}, test"
        in Page((tmp_path / "out" / REPORT).read_text(encoding="utf-8")).text
    )


def test_what_a_person_is_to_see_is_called_so(int8_bundle, visible_set, tmp_path):
    all_open = limited(int8_bundle, tmp_path / "bundle", 0.0)
    evaluate(all_open, visible_set, "test", None, None, tmp_path / "report")
    text = Page((tmp_path / "report" / REPORT).read_text(encoding="utf-8")).text
    assert "bundle, int8: REVIEW" in text
    assert "bundle, int8: NG" not in text
    assert "its network in float: REVIEW" not in text
