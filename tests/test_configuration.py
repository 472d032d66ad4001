"""The configuration: options, where they are read from, and which source wins."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import graphc
import graphc.tensor as T
from graphc.configuration import (
    BACKENDS,
    IGNORED,
    MATMUL_PRECISIONS,
    MODES,
    NUMERICS,
    OPTIONS,
    Configuration,
    parse_flags,
)

ROOT = Path(__file__).parents[1]

ACCEPTED: list[tuple[str, Any, Any]] = [
    *(("floatX", f, f) for f in ("float16", "float32", "float64")),
    *(("backend", b, b) for b in BACKENDS),
    *(("mode", m, m) for m in MODES),
    *(("numerics", n, n) for n in NUMERICS),
    *(("matmul_precision", p, p) for p in MATMUL_PRECISIONS),
    *(("on_unused_input", a, a) for a in ("raise", "warn", "ignore")),
    ("compute_test_value", "warn", "warn"),
    ("exception_verbosity", "high", "high"),
    ("traceback.limit", "3", 3),
    ("traceback.limit", 3, 3),
    ("rewrite.steps", 5, 5),
]

REFUSED: list[tuple[str, Any, str]] = [
    ("floatX", "float65", "'float65' is not one of 'float16', 'float32', 'float64'"),
    ("floatX", "int32", "not one of"),
    ("floatX", None, "not one of"),
    ("floatX", 32, "not one of"),
    ("backend", "gpu", "not one of 'auto', 'numpy', 'llvm', 'cupy'"),
    ("mode", "FAST", "not one of 'FAST_RUN', 'FAST_COMPILE'"),
    ("matmul_precision", "low", "not one of 'highest', 'tf32'"),
    ("numerics", "fast", "not one of 'ieee', 'default', 'algebraic'"),
    ("on_unused_input", True, "not one of"),
    ("traceback.limit", "many", "many"),
    ("traceback.limit", 2.5, "2.5"),
    ("traceback.limit", None, "None"),
]

UNKNOWN = ["floatx", "float_x", "nothing", "traceback.limits", "traceback.", "", "x y", "gcc"]


@pytest.fixture
def config() -> Configuration:
    return Configuration()


@pytest.mark.parametrize("key, given, kept", ACCEPTED)
def test_set_and_read(config: Configuration, key: str, given: Any, kept: Any) -> None:
    config.set(key, given)
    assert _get(config, key) == kept
    other = Configuration()
    _set(other, key, given)
    assert _get(other, key) == kept


def _get(config: Configuration, key: str) -> Any:
    """``config.a.b`` as a program writes it."""
    value: Any = config
    for part in key.split("."):
        value = getattr(value, part)
    return value


def _set(config: Configuration, key: str, value: Any) -> None:
    *path, name = key.split(".")
    target: Any = config
    for part in path:
        target = getattr(target, part)
    setattr(target, name, value)


@pytest.mark.parametrize("key, value, message", REFUSED)
def test_wrong_values(config: Configuration, key: str, value: Any, message: str) -> None:
    before = _get(config, key)
    with pytest.raises(ValueError, match=f"config.{key}: .*{message}"):
        _set(config, key, value)
    assert _get(config, key) == before


@pytest.mark.parametrize("key", UNKNOWN)
def test_unknown_options(config: Configuration, key: str) -> None:
    with pytest.raises(AttributeError, match=r"config has no option .*Known options: floatX"):
        config.set(key, 1)
    with pytest.raises(AttributeError, match="no option"), config.change_flags(**{key.replace(".", "__"): 1}):
        pass


def test_unknown_attribute_guesses(config: Configuration) -> None:
    with pytest.raises(AttributeError, match=r"Did you mean config\.floatX\?"):
        config.floatx = "float32"
    with pytest.raises(AttributeError, match=r"Did you mean config\.floatX\?"):
        _ = config.floatx
    assert not hasattr(config, "nonsense")


@pytest.mark.parametrize("key", sorted(IGNORED))
def test_options_of_theano_are_kept_and_change_nothing(config: Configuration, key: str) -> None:
    _set(config, key, "value")
    assert _get(config, key) == "value"


def test_defaults(config: Configuration) -> None:
    for key, option in OPTIONS.items():
        assert _get(config, key) == option.default
        assert option.parse(option.default) == option.default
        assert option.meaning
    assert "floatX = 'float64'" in repr(config)
    assert {"floatX", "change_flags"} <= set(dir(config))


# ---- change_flags ----


def test_change_flags(config: Configuration) -> None:
    with config.change_flags(floatX="float32", traceback__limit=1):
        assert (config.floatX, config.traceback.limit) == ("float32", 1)
        with config.change_flags(floatX="float16"):
            assert config.floatX == "float16"
        assert config.floatX == "float32"
    assert (config.floatX, config.traceback.limit) == ("float64", 8)


def test_change_flags_restores_after_an_exception(config: Configuration) -> None:
    config.mode = "FAST_COMPILE"
    def inside() -> None:
        with config.change_flags(floatX="float32"):
            config.mode = "FAST_RUN"
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        inside()
    assert (config.floatX, config.mode) == ("float64", "FAST_COMPILE")


def test_change_flags_with_a_wrong_one_changes_nothing(config: Configuration) -> None:
    for wrong in ({"floatX": "float32", "mode": "FAST"}, {"floatX": "float32", "nothing": 1}):
        with pytest.raises((ValueError, AttributeError)), config.change_flags(**wrong):
            pass
        assert config.floatX == "float64"


def test_change_flags_as_a_decorator(config: Configuration) -> None:
    @config.change_flags(floatX="float32")
    def inside() -> str:
        return str(config.floatX)

    assert [inside(), inside(), config.floatX] == ["float32", "float32", "float64"]


def test_change_flags_reaches_the_compiler() -> None:
    with graphc.config.change_flags(floatX="float32"):
        assert T.matrix().dtype == "float32"
        assert T.constant(1.0).dtype == "float32"
        assert (T.iscalar() / 2).dtype == "float32"
    assert T.matrix().dtype == graphc.config.floatX


# ---- file and environment ----

FLAGS = [
    ("", {}),
    ("floatX=float32", {"floatX": "float32"}),
    ("floatX=float32,mode=FAST_RUN", {"floatX": "float32", "mode": "FAST_RUN"}),
    (" floatX = float32 , mode= FAST_RUN ,", {"floatX": "float32", "mode": "FAST_RUN"}),
    ("a.b=c=d", {"a.b": "c=d"}),
    ("floatX", {"floatX": ""}),
]


@pytest.mark.parametrize("flags, pairs", FLAGS)
def test_parse_flags(flags: str, pairs: dict[str, str]) -> None:
    assert parse_flags(flags) == pairs


def in_a_new_process(program: str, home: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("GRAPHC", "THEANO"))}
    clean |= {"PYTHONPATH": str(ROOT), "HOME": str(home), "USERPROFILE": str(home)} | environment
    command = [sys.executable, "-c", program]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=clean, timeout=60)


# The file, THEANO_FLAGS, GRAPHC_FLAGS, code -> config.floatX.
PRECEDENCE = [
    ("", "", "", "", "float64"),
    ("float32", "", "", "", "float32"),
    ("float32", "float16", "", "", "float16"),
    ("float16", "float64", "float32", "", "float32"),
    ("float16", "", "float32", "", "float32"),
    ("float16", "float16", "float16", "float32", "float32"),
]


@pytest.mark.parametrize("file, theano, own, code, expected", PRECEDENCE)
def test_precedence(tmp_path: Path, file: str, theano: str, own: str, code: str, expected: str) -> None:
    if file:
        (tmp_path / ".graphcrc").write_text(f"[global]\nfloatX = {file}\n")
    environment = {}
    if theano:
        environment["THEANO_FLAGS"] = f"floatX={theano},device=cpu"
    if own:
        environment["GRAPHC_FLAGS"] = f"floatX={own}"
    program = "from graphc.configuration import config\n"
    program += f"config.floatX = {code!r}\n" if code else ""
    done = in_a_new_process(program + "print(config.floatX)", tmp_path, **environment)
    assert done.stdout.strip() == expected, done.stderr


def test_a_file(tmp_path: Path) -> None:
    """Sections are the part of a name before the dot; `%` is an ordinary character; names keep their case."""
    path = tmp_path / "options.cfg"
    path.write_text(
        "# a comment\n[global]\nfloatX = float32\ncompiledir = ~/x%(here)s\n\n[traceback]\nlimit = 3\n", "utf-8"
    )
    program = "from graphc.configuration import config\nprint(config.floatX, config.traceback.limit, config.compiledir)"
    done = in_a_new_process(program, tmp_path, GRAPHC_RC=str(path))
    assert done.stdout.split() == ["float32", "3", "~/x%(here)s"], done.stderr


SOURCES = [
    ({"GRAPHC_FLAGS": "floatx=float32"}, "", "AttributeError: GRAPHC_FLAGS: config has no option 'floatx'"),
    ({"GRAPHC_FLAGS": "floatX=float33"}, "", "ValueError: GRAPHC_FLAGS: config.floatX: 'float33' is not one of"),
    ({"THEANO_FLAGS": "mode=FAST"}, "", "ValueError: THEANO_FLAGS: config.mode: 'FAST' is not one of"),
    ({}, "[global]\nfloatX = x\n", ".graphcrc: config.floatX: 'x' is not one of"),
    ({}, "[traceback]\nlimits = 3\n", ".graphcrc: config has no option 'traceback.limits'"),
    ({}, "floatX = float32\n", ".graphcrc"),
    ({}, "[global]\nfloatX = float32\nfloatX = float64\n", ".graphcrc"),
]


@pytest.mark.parametrize("environment, file, message", SOURCES)
def test_errors_name_the_source(tmp_path: Path, environment: dict[str, str], file: str, message: str) -> None:
    if file:
        (tmp_path / ".graphcrc").write_text(file)
    done = in_a_new_process("import graphc", tmp_path, **environment)
    assert done.returncode == 1
    assert message in done.stderr.splitlines()[-1] or message in done.stderr[-600:]


THEANO_FLAGS = (
    "device=cuda0,force_device=True,optimizer=fast_compile,openmp=True,blas.ldflags=-lopenblas,gcc.cxxflags=-O3,"
    "base_compiledir=/tmp/x,exception_verbosity=high,compute_test_value=off,cxx=,allow_gc=False,warn_float64=ignore,"
    "gpuarray.preallocate=0.8,dnn.enabled=auto,lib.cnmem=0.5,nvcc.fastmath=True,cuda.root=/usr,scan.allow_gc=False,"
    "on_unused_input=ignore,profile=True,floatX=float32"
)


def test_the_flags_people_have_for_theano(tmp_path: Path) -> None:
    program = "from graphc.configuration import config\nprint(config.floatX, config.on_unused_input, config.device)"
    done = in_a_new_process(program, tmp_path, THEANO_FLAGS=THEANO_FLAGS)
    assert done.stdout.split() == ["float32", "ignore", "cuda0"], done.stderr
