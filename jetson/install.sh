#!/usr/bin/env bash
# Installs this checkout on a Jetson: a virtual environment of its own that sees JetPack's TensorRT, with pycuda.
#   jetson/install.sh [--dry-run] [VENV]     VENV is .venv in the checkout by default
# What is there already is left as it is, so running it again is safe. --dry-run says what would be run, and runs nothing.
# JETSON_ROOT stands before the paths of the system, for the tests.
set -euo pipefail

checkout=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
root=${JETSON_ROOT:-}
cuda=$root/usr/local/cuda
dry=
if [[ ${1:-} == --dry-run ]]; then
    dry=yes
    shift
fi
venv=${1:-$checkout/.venv}
if (($# > 1)) || [[ $venv == -* ]]; then
    echo "Usage: jetson/install.sh [--dry-run] [VENV]" >&2
    exit 2
fi

run() { # says the command, and runs it unless this is a dry run
    echo "+ $*"
    [[ $dry ]] || "$@"
}

fail() {
    echo "install.sh: $*" >&2
    exit 1
}

check_board() {
    local l4t
    l4t=$(sed -n 's/^# R\([0-9]*\) (release).*/\1/p' "$root/etc/nv_tegra_release" 2>/dev/null || true)
    if [[ -z $l4t ]]; then
        [[ $dry ]] || fail "not a Jetson (no /etc/nv_tegra_release); elsewhere: pip install ."
        echo "# not a Jetson: this is what would be run on one"
    elif ((l4t < 36)); then
        fail "L4T $l4t is JetPack 5 or older, whose Python is too old; flash JetPack 6.2 or later"
    fi
}

install_packages() {
    local package missing=()
    for package in build-essential python3-dev python3-venv v4l-utils; do
        dpkg -s "$package" >/dev/null 2>&1 || missing+=("$package")
    done
    if [[ ! -e $cuda/bin/nvcc ]] || ! compgen -G "$root/usr/lib/python3*/dist-packages/tensorrt" >/dev/null; then
        missing+=(nvidia-jetpack)
    fi
    ((${#missing[@]})) || return 0
    local sudo=()
    ((EUID == 0)) || sudo=(sudo)
    run "${sudo[@]}" apt-get update
    run "${sudo[@]}" apt-get install -y "${missing[@]}"
}

make_venv() {
    [[ -x $venv/bin/python ]] || run python3 -m venv "$venv"
}

link_tensorrt() { # alone, so that pip never takes the system's other packages for its own
    local name packages
    packages=$(python3 -c 'import sys; print("lib/python%d.%d" % sys.version_info[:2])')
    for name in "$venv/$packages/site-packages"/tensorrt{,-*.dist-info}; do # of a JetPack that was replaced
        [[ ! -L $name || -e $name ]] || run rm "$name"
    done
    for name in "$root/usr/$packages/dist-packages"/tensorrt "$root/usr/$packages/dist-packages"/tensorrt-*.dist-info; do
        [[ $dry || -e $name ]] || fail "$name: JetPack's TensorRT is missing; sudo apt-get install -y python3-libnvinfer"
        [[ -e $venv/$packages/site-packages/${name##*/} ]] || run ln -s "$name" "$venv/$packages/site-packages/"
    done
}

install_defectgate() {
    run "$venv/bin/python" -m pip install --quiet --upgrade pip
    run "$venv/bin/python" -m pip install --quiet "$checkout"
    if [[ $dry ]] || ! "$venv/bin/python" -c 'import importlib.util, sys; sys.exit(not importlib.util.find_spec("pycuda"))'; then
        run "$venv/bin/python" -m pip install --quiet "pycuda>=2024.1" # compiles for two minutes
    fi
}

export PATH=$cuda/bin:$PATH CUDA_ROOT=$cuda # where pycuda looks for nvcc and the libraries

check_board
install_packages
make_venv
link_tensorrt
install_defectgate
run "$venv/bin/defectgate" doctor
