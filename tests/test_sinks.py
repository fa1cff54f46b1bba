"""Where verdicts and pictures go: nothing that was written is lost, nothing is lost unsaid."""

import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from runtime.errors import DataError
from runtime.images import write_png
from runtime.sinks import ROOM, Pictures, open_lines, write_line

PICTURE = np.zeros((4, 6, 3), np.uint8)


def write(out, *numbers):
    with open_lines(out) as lines:
        for number in numbers:
            write_line(lines, {"seq": number})


def numbers_in(file):
    return [json.loads(line)["seq"] for line in file.read_text(encoding="utf-8").splitlines()]


def test_a_file_that_is_there_is_kept_under_its_time(tmp_path, capsys):
    out = tmp_path / "of" / "today.jsonl"
    for number in range(4):
        write(out, number)
    assert numbers_in(out) == [3]
    kept = sorted(set(out.parent.iterdir()) - {out})
    assert sorted(numbers_in(file)[0] for file in kept) == [0, 1, 2]
    assert all(file.name.startswith("today.2") and file.suffix == ".jsonl" for file in kept)
    said = capsys.readouterr().err
    assert all(f"--out {out}: what was there is now {file.name}\n" in said for file in kept)


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
    pictures = Pictures(tmp_path / "ng", wait=True)
    for number in range(3 * ROOM):
        pictures.put(f"{number}.png", lambda: PICTURE)
    assert pictures.finish() == 0
    pictures.require_all()
    assert len(list(tmp_path.glob("ng/*.png"))) == 3 * ROOM


def held_up(folder, *, wait=False):
    """Pictures whose disk is at the first one, and what lets it go on."""
    begun, released = threading.Event(), threading.Event()

    def slow():
        begun.set()
        released.wait()
        return PICTURE

    pictures = Pictures(folder, wait=wait)
    pictures.put("first.png", slow)
    begun.wait()
    return pictures, released


def test_pictures_that_the_disk_is_too_slow_for_are_lost_and_counted(tmp_path, capsys):
    pictures, released = held_up(tmp_path)
    for number in range(ROOM + 2):
        pictures.put(f"{number}.png", lambda: PICTURE)
    released.set()
    assert pictures.finish() == 2
    pictures.require_all()  # a camera's loss is no failure of the inspection
    assert len(list(tmp_path.glob("*.png"))) == ROOM + 1
    assert capsys.readouterr().err.count("the disk is too slow") == 1


@pytest.mark.parametrize("waiting", [0, ROOM])
def test_a_disk_that_hangs_does_not_keep_a_station_from_its_end(
    waiting, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr("runtime.sinks.HANG_S", 0.05)
    pictures, released = held_up(tmp_path)
    for number in range(waiting):
        pictures.put(f"{number}.png", lambda: PICTURE)
    assert pictures.finish() == 1 + waiting
    assert "the disk hangs" in capsys.readouterr().err
    released.set()


def test_pictures_leave_a_disk_room_for_verdicts(tmp_path, monkeypatch, capsys):
    free = [9e8, 9e8, 2e9, 9e8]
    usage = "runtime.sinks.shutil.disk_usage"
    monkeypatch.setattr(usage, lambda _: SimpleNamespace(total=1e12, free=free.pop(0)))
    pictures = Pictures(tmp_path, wait=True)
    for number in range(4):
        pictures.put(f"{number}.png", lambda: PICTURE)
    assert pictures.finish() == 3
    assert [path.name for path in tmp_path.iterdir()] == ["2.png"]
    message = "less than 1000 MB of its disk are free"
    assert capsys.readouterr().err.count(message) == 1
    with pytest.raises(DataError, match=f"3 of 4 pictures were lost: .*{message}"):
        pictures.require_all()


def test_a_folder_that_is_moved_away_is_made_again(tmp_path):
    pictures = Pictures(tmp_path / "ng", wait=True)
    (tmp_path / "ng").rename(tmp_path / "ng of yesterday")
    pictures.put("0.png", lambda: PICTURE)
    assert pictures.finish() == 0
    assert (tmp_path / "ng/0.png").exists()


def test_a_picture_that_cannot_be_written_stops_no_other(tmp_path):
    (tmp_path / "1.png").mkdir()
    pictures = Pictures(tmp_path, wait=True)
    for number in range(3):
        pictures.put(f"{number}.png", lambda: PICTURE)
    assert pictures.finish() == 1
    with pytest.raises(DataError, match="1 of 3 pictures were lost: a picture: cannot be written"):
        pictures.require_all()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0.png", "1.png", "2.png"]


def test_a_picture_that_cannot_be_drawn_stops_no_other(tmp_path):
    def broken():
        raise MemoryError("no room to draw")

    pictures = Pictures(tmp_path, wait=True)
    pictures.put("0.png", broken)
    pictures.put("1.png", lambda: PICTURE)
    assert pictures.finish() == 1
    with pytest.raises(DataError, match="1 of 2 pictures were lost: no room to draw"):
        pictures.require_all()
    assert [path.name for path in tmp_path.iterdir()] == ["1.png"]


def test_what_a_start_on_a_full_disk_left_is_not_kept(tmp_path):
    out = tmp_path / "lines"
    out.touch()
    write(out, 1)
    assert list(tmp_path.iterdir()) == [out]


def test_a_file_that_takes_no_more_is_one_line():
    with pytest.raises(DataError, match=r"--out /dev/full: cannot be written \(No space left"):
        write(Path("/dev/full"), 0)


def refuse_while_open(out):
    with open_lines(out):
        raise OSError("of another file")


def test_what_goes_wrong_elsewhere_is_not_said_of_the_lines(tmp_path):
    with pytest.raises(OSError, match="of another file"):
        refuse_while_open(tmp_path / "lines")


def test_an_inspection_goes_on_where_nothing_can_be_said():
    command = "from runtime.errors import say; say('a line'); print('went on')"
    with Path("/dev/full").open("wb") as nobody:
        went = subprocess.run(
            [sys.executable, "-c", command], stdout=subprocess.PIPE, stderr=nobody, check=True
        )
    assert went.stdout == b"went on\n"


def test_standard_output_is_utf_8_whatever_the_locale(defectgate, plain_bundle, tmp_path):
    write_png(tmp_path / "Größe.png", PICTURE)
    ascii_only = os.environ | {"PYTHONIOENCODING": "ascii"}
    line = ("runtime", "--bundle", plain_bundle, "--camera")
    done = defectgate(*line, tmp_path, env=ascii_only, encoding="utf-8")
    assert json.loads(done.stdout.splitlines()[1])["source"] == "Größe.png"
    assert (done.returncode, done.stderr) == (0, "")
    done = defectgate(*line, tmp_path / "Größe", env=ascii_only)
    assert r"Gr\xf6\xdfe: no such camera" in done.stderr
