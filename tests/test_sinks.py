"""Where verdicts and pictures go: nothing that was written is lost, nothing is lost unsaid."""

import json
import os
import subprocess
import sys
import threading

import numpy as np
import pytest

from runtime.errors import DataError
from runtime.sinks import ROOM, open_lines, open_pictures, write_line

PICTURE = np.zeros((4, 6, 3), np.uint8)


def write(out, *numbers):
    with open_lines(out) as lines:
        for number in numbers:
            write_line(lines, {"seq": number})


def numbers_in(file):
    return [json.loads(line)["seq"] for line in file.read_text(encoding="utf-8").splitlines()]


def test_a_file_that_is_there_is_kept_under_its_time(tmp_path):
    out = tmp_path / "of" / "today.jsonl"
    for number in range(4):
        write(out, number)
    assert numbers_in(out) == [3]
    kept = sorted(set(out.parent.iterdir()) - {out})
    assert sorted(numbers_in(file)[0] for file in kept) == [0, 1, 2]
    assert all(file.name.startswith("today.2") and file.suffix == ".jsonl" for file in kept)


def test_two_files_of_one_time_are_both_kept(tmp_path):
    out = tmp_path / "lines"
    for number in range(3):
        write(out, number)
        os.utime(out, (1e9, 1e9))
    assert sorted(numbers_in(file)[0] for file in tmp_path.iterdir()) == [0, 1, 2]


def test_what_a_link_leads_to_is_kept_and_the_link_stays(tmp_path):
    (tmp_path / "large disk").mkdir()
    file, link = tmp_path / "large disk" / "lines.jsonl", tmp_path / "lines.jsonl"
    link.symlink_to(file)
    for number in range(2):
        write(link, number)
    assert link.is_symlink()
    assert numbers_in(file) == [1]
    assert len(list(file.parent.iterdir())) == 2


def test_a_device_is_never_renamed(tmp_path):
    said = tmp_path / "said.jsonl"
    command = (
        "from pathlib import Path; from runtime.sinks import open_lines\n"
        "with open_lines(Path('/dev/stdout')) as lines: lines.write('a line')"
    )
    with said.open("w", encoding="utf-8") as file:
        subprocess.run([sys.executable, "-c", command], stdout=file, check=True)
    assert said.read_text(encoding="utf-8") == "a line"
    assert list(tmp_path.iterdir()) == [said]


def test_lines_that_were_copied_and_cut_away_leave_no_hole(tmp_path):
    out = tmp_path / "lines"
    with open_lines(out) as lines:
        write_line(lines, {"seq": 0})
        out.write_bytes(b"")  # as logrotate does it
        write_line(lines, {"seq": 1})
    assert numbers_in(out) == [1]


def test_of_a_source_that_waits_every_picture_is_written(tmp_path):
    with open_pictures(tmp_path / "ng", wait=True) as pictures:
        for number in range(3 * ROOM):
            pictures.put(f"{number}.png", lambda: PICTURE)
    assert len(list(tmp_path.glob("ng/*.png"))) == 3 * ROOM


def put_many(folder):
    """One that the disk is at, those that may wait for it, and two more."""
    begun, released = threading.Event(), threading.Event()

    def slow():
        begun.set()
        released.wait()
        return PICTURE

    with open_pictures(folder, wait=False) as pictures:
        pictures.put("first.png", slow)
        begun.wait()
        for number in range(ROOM + 2):
            pictures.put(f"{number}.png", lambda: PICTURE)
        released.set()


def test_pictures_that_the_disk_is_too_slow_for_are_lost_and_counted(tmp_path, capsys):
    message = rf"--save-overlays {tmp_path}: 2 of {ROOM + 3} pictures were lost: the disk is too"
    with pytest.raises(DataError, match=message):
        put_many(tmp_path)
    assert len(list(tmp_path.glob("*.png"))) == ROOM + 1
    assert capsys.readouterr().err.count("the disk is too slow") == 1


def put_three(folder):
    with open_pictures(folder, wait=True) as pictures:
        for number in range(3):
            pictures.put(f"{number}.png", lambda: PICTURE)


def test_a_picture_that_cannot_be_written_stops_no_other(tmp_path):
    (tmp_path / "1.png").mkdir()
    with pytest.raises(DataError, match=r"1 of 3 pictures were lost: .*1\.png: cannot be written"):
        put_three(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0.png", "1.png", "2.png"]


def test_a_picture_that_cannot_be_drawn_stops_no_other(tmp_path):
    def broken():
        raise MemoryError("no room to draw")

    def put_two():
        with open_pictures(tmp_path, wait=True) as pictures:
            pictures.put("0.png", broken)
            pictures.put("1.png", lambda: PICTURE)

    with pytest.raises(DataError, match="1 of 2 pictures were lost: no room to draw"):
        put_two()
    assert [path.name for path in tmp_path.iterdir()] == ["1.png"]


def end_with(error, folder):
    with open_pictures(folder, wait=True) as pictures:
        pictures.put("1.png", lambda: PICTURE)
        raise error


def test_what_ended_the_inspecting_is_said_before_what_was_lost(tmp_path):
    (tmp_path / "1.png").mkdir()
    with pytest.raises(KeyError):
        end_with(KeyError(), tmp_path)
