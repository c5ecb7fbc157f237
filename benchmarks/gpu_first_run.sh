#!/bin/sh
# First run on a GPU machine: checks, benchmark and tests, in less than nine minutes.
#
#   sh benchmarks/gpu_first_run.sh [FOLDER]
#
# The machine needs Python 3.11, torch with CUDA and triton, and no network: if there is a folder
# `wheels/` in the checkout, packages are installed from it (on a machine with a network:
# `python -m pip download -d wheels -e . --group core`). Each step has a time limit, and none stops
# the others; results go to FOLDER (default: build/gpu): steps.txt, a log of each step, gpu.json.
set -u
out=$(mkdir -p "${1:-build/gpu}" && cd "${1:-build/gpu}" && pwd)
cd "$(dirname "$0")/.." || exit 1
python=${PYTHON:-python3}

step() { # step NAME SECONDS COMMAND...
    name=$1 limit=$2
    shift 2
    begun=$(date +%s)
    timeout -k 5 "$limit" "$@" >"$out/$name.log" 2>&1
    status=$?
    echo "$name: status $status, $(($(date +%s) - begun)) s" | tee -a "$out/steps.txt"
    return $status
}

: >"$out/steps.txt"
step machine 20 nvidia-smi
if [ -d wheels ]; then
    step venv 30 "$python" -m venv --system-site-packages build/gpu-venv &&
        python=build/gpu-venv/bin/python
    step install 90 "$python" -m pip install --quiet --no-index --find-links wheels \
        --no-build-isolation -e . pytest
fi
step versions 40 "$python" -c "import torch, triton, qrnn
print(torch.__version__, triton.__version__, qrnn.__version__, torch.cuda.is_available())"
if [ -n "${REHEARSE:-}" ]; then
    step benchmark 400 "$python" benchmarks/gpu.py --rehearse --seconds 150
else
    step benchmark 260 "$python" benchmarks/gpu.py --total 220 --seconds 30 --output "$out/gpu.json"
    step tests 150 env QRNN_TEST_GPU=1 "$python" -m pytest tests/memory/test_triton.py -q -x \
        -m "not slow" --junitxml "$out/tests.xml"
fi
! grep -v "status 0" "$out/steps.txt"
