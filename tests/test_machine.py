"""What a machine says of itself, by the files of a Jetson and by what its programs print."""

import os

import pytest

from runtime.machine import Machine, State, others_seconds, state_of_machine, this_machine
from runtime.power import energy_of, nvidia_smi_watts, tegrastats_watts

TEGRASTATS = (
    "01-02-2025 10:00:00 RAM 2733/7620MB (lfb 3x4MB) SWAP 0/3810MB (cached 0MB) CPU "
    "[3%@1510,1%@1510,0%@1510,0%@1510,off,off] EMC_FREQ 0%@2133 GR3D_FREQ 0%@[305] NVDEC off "
    "cpu@47.5C soc2@46.6C soc0@46.2C gpu@48.1C tj@48.1C soc1@47C "
    "VDD_IN 4940mW/4940mW VDD_CPU_GPU_CV 551mW/551mW VDD_SOC 1500mW/1500mW"
)
AGX = "GR3D_FREQ 0% VDD_GPU_SOC 3200mW/3200mW VDD_CPU_CV 800mW/800mW VIN_SYS_5V0 4000mW/4000mW"


@pytest.fixture
def programs(tmp_path, monkeypatch):
    """Stands in for programs of the system, each prints a text; nothing else is found."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setattr("runtime.machine.SYSTEM_PATH", "")

    def add(name, text, then="exit 0"):
        program = folder / name
        program.write_text(f"#!/bin/sh\n/bin/cat <<'END'\n{text}\nEND\n{then}\n", encoding="utf-8")
        program.chmod(0o755)

    return add


def test_a_jetson_is_known_by_its_files(jetson_root, programs):
    programs("nvpmodel", "NV Power Mode: 15W\n0")
    machine = this_machine(jetson_root)
    assert machine == Machine(
        id=machine.id,
        model="NVIDIA Jetson Orin Nano Engineering Reference Developer Kit Super",
        architecture=os.uname().machine,
        cores=len(os.sched_getaffinity(0)),
        memory_mb=7620,
        gpu=None,
        l4t="36.4.3",
    )
    assert len(machine.id) == 12
    assert state_of_machine(jetson_root) == State(
        power_mode="15W",
        clocks_locked=False,
        clocks_mhz={"cpu0": 1510, "17000000.gpu": 306},
        temperatures_c={"cpu-thermal": 47.5, "gpu-thermal": 48.1},
        load=0.42,
    )


def test_without_nvpmodel_the_mode_is_a_number(jetson_root, programs):
    del programs
    assert state_of_machine(jetson_root).power_mode == "mode 0"


def test_clocks_are_locked_where_lowest_is_highest(jetson_root, programs):
    del programs
    for path in jetson_root.glob("sys/devices/system/cpu/cpu0/cpufreq/scaling_min_freq"):
        path.write_text("1510400\n", encoding="ascii")
    assert state_of_machine(jetson_root).clocks_locked is False
    (jetson_root / "sys/class/devfreq/17000000.gpu/min_freq").write_text("1020000000\n", "ascii")
    assert state_of_machine(jetson_root).clocks_locked is True


def test_a_workstation_is_known_by_nvidia_smi(programs, tmp_path):
    programs("nvidia-smi", "NVIDIA H100 80GB HBM3, 550.54.15, 1980, 1980, 31")
    assert this_machine(tmp_path).gpu == "NVIDIA H100 80GB HBM3, driver 550.54.15"
    state = state_of_machine(tmp_path)
    assert state.clocks_mhz == {"clocks.sm": 1980, "clocks.max.sm": 1980}
    assert state.temperatures_c == {"temperature.gpu": 31}


def test_what_does_not_answer_is_none(programs, tmp_path):
    programs("nvidia-smi", "NVIDIA-SMI has failed", "exit 9")
    machine = this_machine(tmp_path)
    assert (machine.id, machine.gpu, machine.l4t, machine.model) == (None, None, None, "unknown")
    assert state_of_machine(tmp_path) == State(None, None, {}, {}, 0.0)


@pytest.mark.parametrize(
    ("flags", "architecture", "model"),
    [
        ("avx2 fma", "x86_64", "AMD EPYC, no VNNI"),
        ("avx2 avx512_vnni", "x86_64", "AMD EPYC"),
        ("avx2 avx_vnni", "x86_64", "AMD EPYC"),
        ("asimd", "aarch64", "AMD EPYC"),
    ],
)
def test_x86_without_vnni_is_another_machine(
    programs, tmp_path, monkeypatch, flags, architecture, model
):
    del programs
    (tmp_path / "proc").mkdir()
    listed = f"model name\t: AMD EPYC\nflags\t\t: {flags}\n"
    (tmp_path / "proc/cpuinfo").write_text(listed, encoding="ascii")
    monkeypatch.setattr("platform.machine", lambda: architecture)
    assert this_machine(tmp_path).model == model


def test_what_others_took_is_all_but_our_own(tmp_path):
    (tmp_path / "proc").mkdir()
    own = sum(os.times()[:2])
    stat = "cpu  100 200 300 9999 50 1 2 3 0 0\ncpu0 1 1 1\n"
    (tmp_path / "proc/stat").write_text(stat, encoding="ascii")
    assert others_seconds(tmp_path) == pytest.approx(606 / os.sysconf("SC_CLK_TCK") - own, abs=1)


@pytest.mark.parametrize(
    ("line", "watts"), [(TEGRASTATS, 4.94), (AGX, 8.0), ("RAM 2733/7620MB", None)]
)
def test_tegrastats_gives_the_whole_board(line, watts):
    assert tegrastats_watts(line) == (None if watts is None else pytest.approx(watts))


@pytest.mark.parametrize(("line", "watts"), [("71.85\n", 71.85), ("[N/A]\n", None)])
def test_nvidia_smi_gives_the_gpu(line, watts):
    assert nvidia_smi_watts(line) == watts


def test_energy_is_mean_power_by_the_time_of_a_call(programs):
    programs(
        "tegrastats", f"{TEGRASTATS}\n{TEGRASTATS.replace('4940', '6940')}", "exec /bin/sleep 60"
    )
    calls = []
    energy = energy_of(lambda: calls.append(0), 0.5)
    assert (energy.meter, energy.watts) == ("tegrastats", 5.94)
    assert energy.mj_a_call == pytest.approx(5.94 * 0.5 / len(calls) * 1000, rel=0.5, abs=1e-3)


def test_without_a_meter_there_is_no_energy(programs):
    del programs
    assert energy_of(lambda: None, 0) is None


def test_a_meter_that_says_nothing_is_no_energy(programs):
    programs("tegrastats", "RAM 2733/7620MB")
    assert energy_of(lambda: None, 0) is None
