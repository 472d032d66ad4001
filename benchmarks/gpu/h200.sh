#!/usr/bin/env bash
# All that is to be measured and tested on a machine with a GPU, in one call of at most ten minutes:
#
#     OUT=results COMMIT=$(git rev-parse HEAD) benchmarks/gpu/h200.sh
#
# It leaves $OUT/h200-DATE.json and the logs.  PYTHON names the Python; if that has no CuPy, an environment is made.
# A part that fails or takes too long does not keep the others from running; the exit status tells of it.
set -uo pipefail
cd "$(dirname "$0")/../.."
OUT=$(mkdir -p "${OUT:-gpu-results}" && cd "${OUT:-gpu-results}" && pwd)
PYTHON=${PYTHON:-python3}
DATE=$(date -u +%Y-%m-%d)
COMMIT=${COMMIT:-$(git rev-parse HEAD 2>/dev/null || echo unknown)}
export PYTHONUNBUFFERED=1 PYTHONPATH=$PWD${PYTHONPATH:+:$PYTHONPATH} OUT DATE COMMIT
LIMIT=${LIMIT:-580} # seconds for all parts together
failed=()

# part NAME SECONDS COMMAND...: run it with a log and a limit, or in what is left of the time if that is less.
part() {
    local name=$1 limit=$2 start=$SECONDS
    shift 2
    ((limit > LIMIT - SECONDS)) && limit=$((LIMIT - SECONDS))
    ((limit < 5)) && echo "== $name: no time left" && failed+=("$name:late") && return
    echo "== $name"
    timeout -k 5 "$limit" "$@" >"$OUT/$name.log" 2>&1
    local status=$?
    tail -n "${LINES_SHOWN:-15}" "$OUT/$name.log"
    echo "-- $name: status $status, $((SECONDS - start)) s"
    ((status == 0)) || failed+=("$name:$status")
}

if ! "$PYTHON" -c "import cupy, llvmlite, scipy, sympy, pytest, hypothesis, xdist" 2>/dev/null; then
    ENVIRONMENT=$(mktemp -d)
    part environment 240 bash -c "'$PYTHON' -m venv '$ENVIRONMENT' && '$ENVIRONMENT/bin/pip' install -q \
        numpy scipy sympy 'llvmlite>=0.46' cupy-cuda13x 'nvidia-cuda-nvrtc>=13,<13.1' 'nvidia-cublas>=13,<14' \
        pytest pytest-xdist hypothesis mpmath"
    PYTHON=$ENVIRONMENT/bin/python
fi

part available 60 "$PYTHON" -c "
from graphc.backends.cupy.available import problem
import sys
sys.exit(problem())"
if ((${#failed[@]})); then
    exit 1
fi

part probe 75 "$PYTHON" -m benchmarks.gpu.probe --json "$OUT/probe.json"
LINES_SHOWN=30 part tests 210 "$PYTHON" -m pytest --backend=cupy -q -n 8 --maxfail="${MAXFAIL:-1}" -p no:cacheprovider
LINES_SHOWN=60 part bench 210 "$PYTHON" -m benchmarks.gpu.bench --json "$OUT/bench.json"

SANITIZER=$(command -v compute-sanitizer || ls /usr/local/cuda/bin/compute-sanitizer 2>/dev/null)
if [ -n "$SANITIZER" ]; then
    for tool in memcheck racecheck; do
        part "$tool" 30 "$SANITIZER" --tool "$tool" --error-exitcode 9 \
            "$PYTHON" -m benchmarks.gpu.bench --small --systems graphc --rounds 1 --budget 0
    done
else
    echo "== no compute-sanitizer here"
fi

"$PYTHON" - "${failed[@]}" <<'COLLECT'
import json, os, platform, subprocess, sys
from importlib import metadata
from pathlib import Path

out = Path(os.environ["OUT"])

def rows(name):
    path = out / name
    return json.loads(path.read_text()) if path.exists() else []

def last_line(name):
    lines = (out / name).read_text().strip().splitlines() if (out / name).exists() else []
    return lines[-1] if lines else "not run"

def version(name):
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None

asked = ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"]
try:
    gpu = subprocess.run(asked, capture_output=True, text=True).stdout.strip()
except OSError:
    gpu = "unknown"
packages = ["numpy", "cupy-cuda13x", "cupy-cuda12x", "nvidia-cuda-nvrtc", "nvidia-cublas", "jax", "torch", "triton"]
record = {
    "commit": os.environ["COMMIT"],
    "date": os.environ["DATE"],
    "gpu": gpu,
    "versions": {"python": platform.python_version()} | {name: version(name) for name in packages if version(name)},
    "failed": sys.argv[1:],
    "tests": last_line("tests.log"),
    "memcheck": last_line("memcheck.log"),
    "racecheck": last_line("racecheck.log"),
    "probe": rows("probe.json"),
    "bench": rows("bench.json"),
}
path = out / f"h200-{record['date']}.json"
path.write_text(json.dumps(record, indent=1) + "\n")
print(f"wrote {path}")
COLLECT
rm -f "$OUT/probe.json" "$OUT/bench.json"
echo "$SECONDS s; failed: ${failed[*]:-nothing}"
exit $((${#failed[@]} > 0))
