"""The house rules: which module may import which, and what a module may be called.

A rule is a function from a package directory to the list of its violations. Each one must find nothing in
graphc, nothing in a small tree that keeps the rules, and something in small trees that break them.
"""

from __future__ import annotations

import ast
import importlib
import sys
from collections.abc import Callable, Iterable, Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import pytest

PACKAGE = "graphc"
ROOT = Path(__file__).parents[1] / PACKAGE

# floor -> its rooms, lowest floor first. A room is a module or a whole package; the longest name decides, so
# rewrites/engine/ is on floor 3 and everything else in rewrites/ on floor 4.
HOUSE = {
    0: "errors configuration dtypes",  # exceptions; options; promotion and casting
    1: "graph",  # types, variables, ops, shared variables, walks, the interned FunctionGraph
    2: "ops",  # every op, declared once
    3: "evaluator gradient printing rewrites.engine",  # values; derivatives; pictures; the engine of rewriting
    4: "rewrites",  # the rule tables
    5: "kernels schedule",  # loop nests; steps, predicates, commit, buffers
    6: "backends",  # renderers
    7: "compile",  # function's arguments, the pipeline, the callable, saving
    8: "tensor ifelse nn interop demo testing __init__ __main__",  # what users import
}
FLOOR_OF_ROOM = {room: floor for floor, rooms in HOUSE.items() for room in rooms.split()}


# --- reading a tree -----------------------------------------------------------------------------------------


class Import(NamedTuple):
    importer: str
    imported: str
    line: int
    is_statement: bool  # or a call of import_module("...")
    at_run_time: bool  # or only for annotations, under `if TYPE_CHECKING`


def module_files(root: Path) -> dict[str, Path]:
    """The modules of a package by dotted name; a package's own name stands for its `__init__.py`."""
    return {name_of(path, root): path for path in sorted(root.rglob("*.py"))}


def name_of(path: Path, root: Path) -> str:
    parts = path.relative_to(root.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(root: Path) -> list[Import]:
    """Every import of the package's own modules, those inside functions and under TYPE_CHECKING included."""
    files = module_files(root)
    found = []
    for module, path in files.items():
        package = module if path.name == "__init__.py" else module.rpartition(".")[0]
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for_annotations = {id(inner) for node in ast.walk(tree) if is_type_checking(node) for inner in ast.walk(node)}
        for node in ast.walk(tree):
            if not isinstance(node, (ast.Import, ast.ImportFrom, ast.Call)):
                continue
            for name in names_imported_by(node, package):
                imported = owner_of(name, files)
                if imported and imported != module:
                    at_run_time = id(node) not in for_annotations
                    found.append(Import(module, imported, node.lineno, isinstance(node, ast.stmt), at_run_time))
    return found


def is_type_checking(node: ast.AST) -> bool:
    """Whether a node is ``if TYPE_CHECKING:``."""
    match node:
        case ast.If(test=ast.Name(id="TYPE_CHECKING") | ast.Attribute(attr="TYPE_CHECKING")):
            return True
    return False


def names_imported_by(node: ast.Import | ast.ImportFrom | ast.Call, package: str) -> Iterator[str]:
    """The full dotted names that an import statement, or a call of `import_module`, mentions."""
    match node:
        case ast.Import():
            yield from (alias.name for alias in node.names)
        case ast.ImportFrom():
            source = absolute(f"{'.' * node.level}{node.module or ''}", package)
            yield from (source if alias.name == "*" else f"{source}.{alias.name}" for alias in node.names)
        case ast.Call(func=ast.Attribute(attr=by) | ast.Name(id=by), args=[ast.Constant(str(name)), *_]):
            if by in ("import_module", "__import__"):
                yield absolute(name, package)


def absolute(name: str, package: str) -> str:
    relative = name.lstrip(".")
    level = len(name) - len(relative)
    if level == 0:
        return name
    parts = package.split(".")
    return ".".join([*parts[: len(parts) - level + 1], *filter(None, [relative])])


def owner_of(name: str, files: dict[str, Path]) -> str | None:
    """The module of the package that an imported name lives in: the longest prefix that is a module."""
    while name and name not in files:
        name = name.rpartition(".")[0]
    return name or None


def room_of(module: str) -> str | None:
    """The room that a module belongs to, or None when the house has no such room."""
    name = module.partition(".")[2] or "__init__"
    while name and name not in FLOOR_OF_ROOM:
        name = name.rpartition(".")[0]
    return name or None


def floor_of(module: str) -> int | None:
    room = room_of(module)
    return None if room is None else FLOOR_OF_ROOM[room]


# --- the rules ----------------------------------------------------------------------------------------------


def every_module_has_a_room(root: Path) -> list[str]:
    return [
        f"{path.relative_to(root.parent)} has no floor: add its room to HOUSE in tests/test_architecture.py"
        for module, path in module_files(root).items()
        if room_of(module) is None
    ]


def imports_go_downstairs(root: Path) -> list[str]:
    found = []
    for importer, imported, line, *_ in imports(root):
        here, there = floor_of(importer), floor_of(imported)
        if here is not None and there is not None and there > here:
            found.append(f"{importer} (floor {here}), line {line}, imports {imported} (floor {there})")
    return found


def modules_of_a_floor_form_no_cycle(root: Path) -> list[str]:
    """Annotations may name each other's classes; what runs may not."""
    same_floor = [(i.importer, i.imported) for i in imports(root) if i.at_run_time]
    same_floor = [(a, b) for a, b in same_floor if floor_of(a) == floor_of(b)]
    return [f"modules import each other: {cycle}" for cycle in cycles(same_floor)]


def rooms_of_a_floor_form_no_cycle(root: Path) -> list[str]:
    pairs = [(i.importer, i.imported) for i in imports(root) if i.at_run_time]
    pairs = [(a, b) for a, b in pairs if floor_of(a) == floor_of(b)]
    between_rooms = [(str(room_of(a)), str(room_of(b))) for a, b in pairs if room_of(a) != room_of(b)]
    return [f"rooms import each other: {cycle}" for cycle in cycles(between_rooms)]


def cycles(edges: Iterable[tuple[str, str]]) -> list[str]:
    """One cycle of the directed graph as `a -> b -> a`, if it has any."""
    successors: dict[str, set[str]] = {}
    for start, end in edges:
        successors.setdefault(start, set()).add(end)
    try:
        TopologicalSorter(successors).prepare()
    except CycleError as error:
        return [" -> ".join(reversed(error.args[1]))]
    return []


def backends_are_imported_by_name(root: Path) -> list[str]:
    """Outside backends/ a statement imports only backends/base.py; a backend is found through importlib."""
    backends = f"{PACKAGE}.backends"
    return [
        f"{importer}, line {line}, imports {imported}: name the backend by a string and use importlib"
        for importer, imported, line, is_statement, _ in imports(root)
        if is_statement
        and room_of(importer) != "backends"
        and imported.startswith(f"{backends}.")
        and imported != f"{backends}.base"
    ]


def modules_are_not_shadowed(root: Path) -> list[str]:
    """`from .sort import sort` in `ops/__init__.py` would hide the module `ops/sort.py`."""
    files = module_files(root)
    found = []
    for module in files:
        package, _, name = module.rpartition(".")
        if package and name in public_names(package, files):
            found.append(f"{package} exports a {name} that hides its module {module}: rename the module")
    return found


def public_names(module: str, files: dict[str, Path], seen: frozenset[str] = frozenset()) -> set[str]:
    """What the top level of a module binds, except names of submodules bound to just these submodules."""
    path = files.get(module)
    if path is None or module in seen:
        return set()
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    names: set[str] = set()
    for node in top_level(ast.parse(path.read_text(encoding="utf-8")).body):
        match node:
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name) | ast.AsyncFunctionDef(name=name):
                names.add(name)
            case ast.Assign() | ast.AnnAssign():
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                parts = (part for target in targets for part in ast.walk(target))
                names |= {x.id for x in parts if isinstance(x, ast.Name) and isinstance(x.ctx, ast.Store)}
            case ast.Import() | ast.ImportFrom():
                for alias, source in zip(node.names, names_imported_by(node, package), strict=True):
                    bound = alias.asname or alias.name
                    if bound == "*":
                        names |= public_names(source, files, seen | {module})
                    elif source != f"{package}.{bound}" or source not in files:
                        names.add(bound)
    return {name for name in names if not name.startswith("_")}


def top_level(body: Iterable[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements that run on import, those inside `if`, `try`, `with` and loops included."""
    for node in body:
        yield node
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            continue
        for field in ("body", "orelse", "finalbody", "handlers"):
            for inner in getattr(node, field, []):
                yield from top_level(inner.body if isinstance(inner, ast.ExceptHandler) else [inner])


def every_directory_is_a_package(root: Path) -> list[str]:
    directories = {directory for path in root.rglob("*.py") for directory in path.parents}
    return [
        f"{directory.relative_to(root.parent)} holds Python files but no __init__.py"
        for directory in sorted(directories)
        if directory.is_relative_to(root) and not (directory / "__init__.py").exists()
    ]


Rule = Callable[[Path], list[str]]
RULES: list[Rule] = [
    every_module_has_a_room,
    imports_go_downstairs,
    modules_of_a_floor_form_no_cycle,
    rooms_of_a_floor_form_no_cycle,
    backends_are_imported_by_name,
    modules_are_not_shadowed,
    every_directory_is_a_package,
]


# --- graphc keeps them --------------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_graphc(rule: Rule) -> None:
    assert module_files(ROOT), f"no modules in {ROOT}"
    if found := rule(ROOT):
        pytest.fail("\n".join(found), pytrace=False)


def test_every_test_directory_is_a_package() -> None:
    """Otherwise two test files of one name in two directories would be one module."""
    assert every_directory_is_a_package(Path(__file__).parent) == []


def test_modules_are_not_shadowed_at_run_time() -> None:
    """The same rule for names that a package fills in while it is imported, as the `T` namespace does."""
    importlib.import_module(PACKAGE)
    for module in module_files(ROOT):
        package, _, name = module.rpartition(".")
        if package in sys.modules:
            bound = vars(sys.modules[package]).get(name)
            assert bound is None or isinstance(bound, ModuleType), f"{module} is hidden by {bound!r}"


# --- and the rules can fail ---------------------------------------------------------------------------------


def build(directory: Path, files: dict[str, str]) -> Path:
    """A package of the given files; a directory gets its `__init__.py` unless this is given as `-`."""
    root = directory / PACKAGE
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    for path in [root, *root.rglob("*")]:
        if path.is_dir():
            (path / "__init__.py").touch()
    for name, text in files.items():
        if text == "-":
            (root / name).unlink()
    return root


KEPT = {
    "__init__.py": "from . import tensor\nfrom .compile import function\nfrom .compile.pipeline import run",
    "__main__.py": "from .demo import main",
    "configuration.py": "from .errors import GraphcError",
    "errors.py": '"""Says: from .tensor import everything."""',
    "graph/__init__.py": "from .types import TensorType\nfrom .variable import Variable",
    "graph/types.py": "from ..errors import GraphcError\nimport numpy.tensor",
    "graph/variable.py": "from . import types\nfrom .types import TensorType",
    "ops/__init__.py": "from . import sort\nfrom .elementwise import *",
    "ops/elementwise.py": "from ..graph import Variable\ndef tanh(x): ...\ndef _sort(x): ...",
    "ops/sort.py": "from . import elementwise\ndef sort(x): ...",
    "printing/layout.py": "",
    "gradient/core.py": "from ..printing import layout\nfrom ..ops import tanh",
    "rewrites/engine/rule.py": "from graphc.ops import tanh",
    "rewrites/stabilize.py": "from .engine.rule import rule",
    "backends/__init__.py": "import importlib\nbackend = importlib.import_module(f'graphc.backends.{name}')",
    "backends/base.py": "",
    "backends/llvm/render.py": "from ..base import Backend",
    "compile/__init__.py": "from .pipeline import function",
    "compile/pipeline.py": "from ..backends import base\nimportlib.import_module('graphc.backends.llvm')",
    "tensor/__init__.py": "from graphc.ops import *\nfrom . import nnet",
    "tensor/nnet.py": "from graphc import ops",
    "demo/__init__.py": "import graphc as theano\nimport graphc.tensor as T\nfrom . import page",
    "demo/page.py": "",
}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_a_tree_that_keeps_the_rules(rule: Rule, tmp_path: Path) -> None:
    assert rule(build(tmp_path, KEPT)) == []


BROKEN: list[tuple[Rule, dict[str, str], str]] = [
    (every_module_has_a_room, {"helpers.py": ""}, "graphc/helpers.py has no floor"),
    (every_module_has_a_room, {"tools/timing.py": ""}, "graphc/tools/timing.py has no floor"),
    (
        imports_go_downstairs,
        {"errors.py": "import graphc.graph.types", "graph/types.py": ""},
        "graphc.errors (floor 0), line 1, imports graphc.graph.types (floor 1)",
    ),
    (
        imports_go_downstairs,
        {"graph/variable.py": "def grad(x):\n    from ..gradient import core\n", "gradient/core.py": ""},
        "graphc.graph.variable (floor 1), line 2, imports graphc.gradient.core (floor 3)",
    ),
    (
        imports_go_downstairs,
        {
            "ops/declare.py": "import typing\nif typing.TYPE_CHECKING:\n    from ..compile import Function",
            "compile/__init__.py": "",
        },
        "graphc.ops.declare (floor 2), line 3, imports graphc.compile (floor 7)",
    ),
    (
        imports_go_downstairs,
        {"rewrites/engine/driver.py": "from .. import stabilize", "rewrites/stabilize.py": ""},
        "graphc.rewrites.engine.driver (floor 3), line 1, imports graphc.rewrites.stabilize (floor 4)",
    ),
    (
        imports_go_downstairs,
        {"kernels/fuse.py": "from .. import __version__"},
        "graphc.kernels.fuse (floor 5), line 1, imports graphc (floor 8)",
    ),
    (
        imports_go_downstairs,
        {"ops/__init__.py": "from graphc import rewrites", "rewrites/__init__.py": ""},
        "graphc.ops (floor 2), line 1, imports graphc.rewrites (floor 4)",
    ),
    (
        imports_go_downstairs,
        {"ops/sort.py": "importlib.import_module('..evaluator', __package__)", "evaluator.py": ""},
        "graphc.ops.sort (floor 2), line 1, imports graphc.evaluator (floor 3)",
    ),
    (
        modules_of_a_floor_form_no_cycle,
        {
            "ops/a.py": "from .b import f",
            "ops/b.py": "def f():\n    from . import c",
            "ops/c.py": "import graphc.ops.a",
        },
        "graphc.ops.a -> graphc.ops.b -> graphc.ops.c -> graphc.ops.a",
    ),
    (
        modules_of_a_floor_form_no_cycle,
        {"graph/__init__.py": "from .types import TensorType", "graph/types.py": "from . import TensorType"},
        "graphc.graph -> graphc.graph.types -> graphc.graph",
    ),
    (
        rooms_of_a_floor_form_no_cycle,
        {
            "kernels/fuse.py": "from ..schedule import memory",
            "kernels/loopir.py": "",
            "schedule/memory.py": "",
            "schedule/steps.py": "from ..kernels.loopir import Loop",
        },
        "kernels -> schedule -> kernels",
    ),
    (
        backends_are_imported_by_name,
        {"compile/save.py": "def f():\n    from ..backends import numpy", "backends/numpy/__init__.py": ""},
        "graphc.compile.save, line 2, imports graphc.backends.numpy",
    ),
    (
        backends_are_imported_by_name,
        {"testing.py": "import graphc.backends.llvm.render", "backends/llvm/render.py": ""},
        "graphc.testing, line 1, imports graphc.backends.llvm.render",
    ),
    (
        modules_are_not_shadowed,
        {"ops/__init__.py": "from .sort import sort", "ops/sort.py": "def sort(x): ..."},
        "graphc.ops exports a sort that hides its module graphc.ops.sort",
    ),
    (
        modules_are_not_shadowed,
        {"ops/__init__.py": "from .sort import *", "ops/sort.py": "def sort(x): ..."},
        "graphc.ops exports a sort",
    ),
    (
        modules_are_not_shadowed,
        {"__init__.py": "try:\n    grad = 1\nfinally:\n    pass", "grad/__init__.py": ""},
        "graphc exports a grad that hides its module graphc.grad",
    ),
    (
        modules_are_not_shadowed,
        {"compile/__init__.py": "from .pipeline import build as function", "compile/function.py": ""},
        "graphc.compile exports a function",
    ),
    (
        every_directory_is_a_package,
        {"ops/__init__.py": "-", "ops/sort.py": ""},
        "graphc/ops holds Python files but no __init__.py",
    ),
    (
        every_directory_is_a_package,
        {"backends/__init__.py": "-", "backends/llvm/__init__.py": ""},
        "graphc/backends holds Python files but no __init__.py",
    ),
]


@pytest.mark.parametrize("rule, files, message", BROKEN)
def test_a_tree_that_breaks_a_rule(rule: Rule, files: dict[str, str], message: str, tmp_path: Path) -> None:
    found = rule(build(tmp_path, files))
    assert any(message in line for line in found), found


def test_every_rule_is_seen_to_fail() -> None:
    assert {rule for rule, _, _ in BROKEN} == set(RULES)
