#!/usr/bin/env bash
# All that is to be measured and tested on a machine with a GPU, in one call of at most ten minutes:
#
#     OUT=results COMMIT=$(git rev-parse HEAD) benchmarks/gpu/h200.sh
#
# It leaves $OUT/h200-DATE.json and the logs, written anew after every part: whatever ends the run, what was found until
# then is there.  PYTHON names the Python; if that has no CuPy, an environment is made.  A part that fails or takes too
# long does not keep the others from running; the exit status tells of it.
#
# `BACKEND=llvm SMALL=--small` rehearses it on any machine.
set -uo pipefail
cd "$(dirname "$0")/../.."
OUT=$(mkdir -p "${OUT:-gpu-results}" && cd "${OUT:-gpu-results}" && pwd)
PYTHON=${PYTHON:-python3}
BACKEND=${BACKEND:-cupy}
SMALL=${SMALL:-}
DATE=$(date -u +%Y-%m-%d)
COMMIT=${COMMIT:-$(git rev-parse HEAD 2>/dev/null || echo unknown)}
GPU=$(timeout 20 nvidia-smi --query-gpu=name,driver_version --format=csv,noheader 2>/dev/null || echo none)
LIMIT=${LIMIT:-570} # seconds for all parts together
ROWS=$(mktemp -d)
trap 'rm -rf "$ROWS"' EXIT
export PYTHONUNBUFFERED=1 PYTHONPATH=$PWD${PYTHONPATH:+:$PYTHONPATH} OUT DATE COMMIT GPU ROWS
export CI=true # random draws repeat, so that a failure can be looked into where there is no GPU

# What a GPU can fail at: the tests of functions first, then op by op.
TESTS=${TESTS:-tests/cuda/test_gpu.py tests/cuda/test_functions.py tests/compile tests/test_articles.py tests/ops
    tests/random_graphs tests/schedule tests/test_demo.py tests/test_examples.py tests/test_scale.py tests/rewrites}
failed=()

collect() {
    "$PYTHON" -m benchmarks.gpu.collect "${failed[@]}"
}

# part NAME SECONDS COMMAND...: run it with a log and a limit, or in what is left of the time if that is less.
# First a program is interrupted, so that it may say what it found; then it is killed.
part() {
    local name=$1 limit=$2 start=$SECONDS
    shift 2
    ((limit > LIMIT - SECONDS - 15)) && limit=$((LIMIT - SECONDS - 15))
    ((limit < 5)) && echo "== $name: no time left" && failed+=("$name:late") && return 1
    echo "== $name: $*" | tee -a "$OUT/$name.log" | cut -c 1-150
    timeout -s INT -k 15 "$limit" "$@" >>"$OUT/$name.log" 2>&1
    local status=$?
    tail -n "${LINES_SHOWN:-15}" "$OUT/$name.log" | cut -c 1-200
    echo "-- $name: status $status, $((SECONDS - start)) s"
    ((status == 0)) || failed+=("$name:$status")
    collect >/dev/null
    return "$status"
}

# bench SECONDS WORK SYSTEMS: each piece of work in a process of its own, so that none can spoil another.
bench() {
    part bench "$1" "$PYTHON" -m benchmarks.gpu.bench --backend "$BACKEND" $SMALL \
        --work "$2" --systems "$3" --json "$ROWS/bench-$((++benches)).json"
}
benches=0

if [ "$BACKEND" = cupy ]; then
    if ! "$PYTHON" -c "import cupy, llvmlite, scipy, sympy, pytest, hypothesis, xdist" 2>"$OUT/available.log"; then
        ENVIRONMENT=$(mktemp -d)
        part environment 240 bash -c "'$PYTHON' -m venv '$ENVIRONMENT' && '$ENVIRONMENT/bin/pip' install -q \
            --retries 1 --timeout 10 \
            numpy scipy sympy 'llvmlite>=0.46' cupy-cuda13x 'nvidia-cuda-nvrtc>=13,<13.1' 'nvidia-cublas>=13,<14' \
            pytest pytest-xdist hypothesis mpmath" &&
            PYTHON=$ENVIRONMENT/bin/python # else with what is there: some parts may do without the rest
    fi
    part available 90 "$PYTHON" -c "
from graphc.backends.cupy.available import problem
import sys
sys.exit(problem())" || exit 1
    part probe 75 "$PYTHON" -m benchmarks.gpu.probe --json "$ROWS/probe.json"
fi

for work in AND sigmoid softmax "batch 128" "batch 4096" compile; do
    LINES_SHOWN=8 bench 45 "$work" "graphc,graphc from NumPy,copy,jax,cupy"
done

# shellcheck disable=SC2086  # TESTS are several words
LINES_SHOWN=40 part tests 210 "$PYTHON" -m pytest --backend="$BACKEND" -q -n "${WORKERS:-12}" --tb=short --maxfail=300 \
    --max-worker-restart=60 -o faulthandler_timeout=100 --durations=10 -p no:cacheprovider $TESTS

SANITIZER=$(command -v compute-sanitizer || ls /usr/local/cuda/bin/compute-sanitizer 2>/dev/null)
if [ -n "$SANITIZER" ] && [ "$BACKEND" = cupy ]; then
    for tool in memcheck racecheck; do
        LINES_SHOWN=8 part "$tool" 50 "$SANITIZER" --tool "$tool" --error-exitcode 9 --print-limit 20 \
            "$PYTHON" -m pytest --backend=cupy -q --tb=short -p no:cacheprovider tests/cuda/test_gpu.py
    done
else
    echo "== no compute-sanitizer here"
fi

# Last, because it compiles for long.
for work in AND "batch 128" "batch 4096" sigmoid softmax; do
    LINES_SHOWN=5 bench 60 "$work" "graphc,torch,torch graphs"
done

collect
echo "$SECONDS s; failed: ${failed[*]:-nothing}"
exit $((${#failed[@]} > 0))
