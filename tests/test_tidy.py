"""The house rules, held by test: sizes, words, reasons, floors, and what a stranger meets first.

Rules of this file: a rule walks every file it speaks of and names all that break it, each with its
line; generated code is nobody's hand and is left out; an exception stands in a table, with its
reason.
"""

import ast
import io
import re
import sys
import tokenize
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PYTHON_TREES = ("sidecar", "clients/python/src", "examples", "bench", "tests", "ops")
GENERATED = ROOT / "clients/python/src/haltline/v1"
SHIPPED_TREES = ("sidecar", "clients/python/src")
PRODUCT_TREES = (*SHIPPED_TREES, "examples", "bench")

FILE_LINES_MAX = 500
FUNCTION_LINES_MAX = 60
REASON_LETTERS_MIN = 5

# What the core may import beside itself: nothing here reads a clock, a disk, a socket or chance.
CORE_MAY_IMPORT = frozenset(
    {
        "__future__",
        "abc",
        "bisect",
        "collections",
        "dataclasses",
        "decimal",
        "enum",
        "functools",
        "hashlib",
        "heapq",
        "itertools",
        "operator",
        "re",
        "sidecar",
        "types",
        "typing",
    }
)

# Modules of the core without a test of their name: the test that holds them, and why.
TESTED_ELSEWHERE: dict[str, str] = {
    "sidecar/core/api_errors.py": "tests/core/test_engine.py: ReportApiError among the commands",
    "sidecar/core/folds.py": "tests/core/test_folding.py: values that only folding makes",
}

# The tests of a floor are tests/FLOOR/ and tests/test_FLOOR*.py.
FLOORS = {
    "audit": "sidecar.audit",
    "auth": "sidecar.auth",
    "cli": "sidecar.cli",
    "client": "haltline",
    "clock": "sidecar.clock",
    "config": "sidecar.config",
    "core": "sidecar.core",
    "examples": "examples",
    "outgoing": "sidecar.outgoing",
    "server": "sidecar.server",
    "service": "sidecar.service",
    "store": "sidecar.store",
    "wire": "sidecar.wire",
}

# Proto files that are named otherwise than a module of the core, and why.
PROTO_NOUNS = {
    "audit": "receipts, and the journal as it is read; sidecar/audit signs and verifies it",
    "config": "what `config show` shows; sidecar/config reads it",
    "errors": "CallError, which every service answers with",
    "operator": "the messages of OperatorService",
    "operator_service": "the RPCs that need operator proof",
    "order": "the order that is asked about, its decision",
    "reports": "what a bot tells: trades and API errors",
    "safety_service": "the RPCs a bot calls",
    "short_status": "the status that rides in answers",
    "status": "what GetStatus and StreamStatus show",
}

UNFINISHED = re.compile(r"\b(?:TO" + r"DO|FIX" + r"ME|HA" + r"CK)\b")
WRITTEN_SUFFIXES = {".py", ".proto", ".md", ".toml", ".yaml", ".json", ".sh", ""}
NOT_WRITTEN = {
    ".git",
    ".hypothesis",
    ".venv",
    ".venv-gen",
    ".venv-lock",
    "node_modules",
    "out",
    "var",
}
LOCKS = (
    "ops/requirements.txt",
    "ops/requirements-dev.txt",
    "ops/requirements-gen.txt",
    "ops/requirements-bench.txt",
)

PRAGMA = re.compile(
    r"(?:noqa(?::\s*(?:[A-Z]+[0-9]+[,\s]*)+)?"
    r"|type:\s*ignore(?:\[[^\]]*\])?"
    r"|pragma:\s*no\s*(?:cover|branch))(?P<reason>.*)"
)
IGNORED_RULE = re.compile(r'^\s*"(?P<rule>[A-Z]+[0-9]+)",?\s*(?:#\s*(?P<reason>.*))?$')


def test_every_file_is_short() -> None:
    """No Python file written by hand has 500 lines or more."""
    faults = [
        f"{_name(path)}: {count} lines, at most {FILE_LINES_MAX - 1}"
        for path in _python_files()
        if (count := len(_text(path).splitlines())) >= FILE_LINES_MAX
    ]
    _assert_none(faults)


def test_every_function_is_short() -> None:
    """No function, its docstring included, has 60 lines or more; a table of cases may."""
    faults = [
        f"{_name(path)}:{node.lineno}: {node.name} has {count} lines, at most "
        f"{FUNCTION_LINES_MAX - 1}"
        for path in _python_files()
        for node in _functions(_tree(path))
        if (count := _line_count(node)) >= FUNCTION_LINES_MAX
    ]
    _assert_none(faults)


def test_every_module_says_what_it_is_for() -> None:
    """Every module opens with a docstring."""
    faults = [
        f"{_name(path)}: no module docstring"
        for path in _python_files()
        if not ast.get_docstring(_tree(path))
    ]
    _assert_none(faults)


def test_every_test_states_its_fact() -> None:
    """Every test function has a docstring: its fact, as a sentence."""
    faults = [
        f"{_name(path)}:{node.lineno}: {node.name} has no docstring"
        for path in _python_files("tests")
        for node in _functions(_tree(path))
        if node.name.startswith("test_") and not ast.get_docstring(node)
    ]
    _assert_none(faults)


def test_core_knows_no_float() -> None:
    """The core has neither a float literal nor the name `float`: money is Decimal (S2.1)."""
    faults = [
        f"{_name(path)}:{getattr(node, 'lineno', 0)}: a float"
        for path in _python_files("sidecar/core")
        for node in ast.walk(_tree(path))
        if _is_float(node)
    ]
    _assert_none(faults)


def test_core_imports_only_what_is_pure() -> None:
    """The core imports itself and the few pure modules of the standard library (S2.2)."""
    faults = [
        f"{_name(path)}: imports {module}"
        for path in _python_files("sidecar/core")
        for module in _imports(_tree(path))
        if module.split(".")[0] not in CORE_MAY_IMPORT
        or (module.startswith("sidecar.") and not module.startswith("sidecar.core"))
    ]
    _assert_none(faults)


def test_what_ships_asserts_nothing() -> None:
    """No `assert` guards what ships: Python drops it under -O."""
    faults = [
        f"{_name(path)}:{node.lineno}: assert (raise an error of ours instead)"
        for path in _python_files(*SHIPPED_TREES)
        for node in ast.walk(_tree(path))
        if isinstance(node, ast.Assert)
    ]
    _assert_none(faults)


def test_every_silenced_checker_has_its_reason() -> None:
    """Every `noqa`, `type: ignore` and the like names its rule and says why."""
    faults = [
        f"{_name(path)}:{line}: no reason in {comment!r}"
        for path in _python_files()
        for line, comment in _comments(path)
        if (pragma := PRAGMA.match(comment.lstrip("# "))) and not _is_reason(pragma["reason"])
    ]
    _assert_none(faults)


def test_every_ignored_rule_has_its_reason() -> None:
    """Every rule that pyproject.toml ignores carries its reason on its line, and none hides."""
    text = _text(ROOT / "pyproject.toml")
    lines = [found for line in text.splitlines() if (found := IGNORED_RULE.match(line))]
    lint = tomllib.loads(text)["tool"]["ruff"]["lint"]
    ignored = list(lint["ignore"])
    for rules in lint["per-file-ignores"].values():
        ignored += rules
    assert lint["select"] == ["ALL"]
    assert sorted(line["rule"] for line in lines) == sorted(ignored), "one ignored rule a line"
    _assert_none(
        [f"pyproject.toml: {line['rule']}" for line in lines if not _is_reason(line["reason"])]
    )


def test_no_exception_is_swallowed() -> None:
    """No `except` does nothing, and no `suppress` swallows everything."""
    faults = [
        f"{_name(path)}:{getattr(node, 'lineno', 0)}: an exception is swallowed"
        for path in _python_files()
        for node in ast.walk(_tree(path))
        if _is_empty_handler(node) or _is_broad_suppress(node)
    ]
    _assert_none(faults)


def test_nothing_is_left_for_later() -> None:
    """No file written by hand promises work: an issue does that."""
    faults = [
        f"{_name(path)}:{number}: {line.strip()}"
        for path in _written_files()
        for number, line in enumerate(_text(path).splitlines(), start=1)
        if UNFINISHED.search(line)
    ]
    _assert_none(faults)


def test_no_test_sleeps_for_a_fixed_time() -> None:
    """A test waits for a condition: a sleep stands only inside a `while` that looks at one."""
    faults = [
        f"{_name(path)}:{call.lineno}: a fixed sleep (wait for the condition in a `while`)"
        for path in _python_files("tests")
        for call in _sleeps_outside_loops(_tree(path))
    ]
    _assert_none(faults)


def test_every_module_of_the_core_has_its_test() -> None:
    """For sidecar/core/X.py there is a tests/core/test_X.py, or a stated place."""
    stems = {path.stem for path in _python_files("tests/core")}
    faults = [
        f"{name}: no tests/core/test_{path.stem}.py"
        for path in _python_files("sidecar/core")
        if (name := _name(path)) not in TESTED_ELSEWHERE
        and path.stem != "__init__"
        and not any(re.fullmatch(rf"test_{path.stem}(_.+)?", stem) for stem in stems)
    ]
    faults += [
        f"TESTED_ELSEWHERE: {name} or {place.split(':')[0]} is not there"
        for name, place in TESTED_ELSEWHERE.items()
        if not ((ROOT / name).exists() and (ROOT / place.split(":")[0]).exists())
    ]
    _assert_none(faults)


def test_every_module_is_reached_by_the_tests_of_its_floor() -> None:
    """The tests of a floor import or start each of its modules, by name or by the front door."""
    product = {_module(path): path for path in _python_files(*PRODUCT_TREES)}
    faults = []
    for floor, package in FLOORS.items():
        patterns = (f"{floor}/**/*.py", f"test_{floor}*.py")
        tests = [path for pattern in patterns for path in (ROOT / "tests").glob(pattern)]
        reached = _reached(tests, product)
        faults += [
            f"{_name(path)}: no test in tests/{floor}/ reaches it"
            for module, path in product.items()
            if f"{module}.".startswith(f"{package}.") and module not in reached
        ]
    _assert_none(faults)


def test_every_proto_is_one_noun_of_the_core() -> None:
    """A proto file has the name of the core's module for its noun, or a stated reason."""
    protos = {path.stem for path in (ROOT / "proto/haltline/v1").glob("*.proto")}
    nouns = {path.stem for path in _python_files("sidecar/core")}
    faults = [f"proto/haltline/v1/{name}.proto: no such noun" for name in protos - nouns]
    _assert_none([fault for fault in faults if Path(fault.split(":")[0]).stem not in PROTO_NOUNS])
    assert protos >= PROTO_NOUNS.keys(), "PROTO_NOUNS names a file that is not there"


def test_locks_name_no_registry_and_pin_everything() -> None:
    """A lock file pins and hashes each package, and carries no address and no option."""
    faults = []
    for lock in LOCKS:
        for entry in _requirements(lock):
            if "://" in entry or entry.startswith("-"):
                faults.append(f"{lock}: an address or an option: {entry.split()[0]}")
            elif not re.match(
                r"^[a-z0-9._-]+==\S+(?: ; [^#]+?)?(?: --hash=sha256:\w{64})+$", entry
            ):
                faults.append(f"{lock}: not pinned and hashed: {entry.split()[0]}")
    _assert_none(faults)


def test_production_and_development_run_the_same_versions() -> None:
    """What the runtime lock pins, the development lock pins alike."""
    runtime, development = (set(_requirements(lock)) for lock in LOCKS[:2])
    _assert_none([f"differs: {entry.split()[0]}" for entry in runtime - development])


def test_readme_opens_with_its_two_commands() -> None:
    """The first block of README.md is `make demo` and `make test`, in a fresh clone's words."""
    block = re.search(r"```\w*\n(.*?)```", _text(ROOT / "README.md"), re.DOTALL)
    assert block, "README.md has no block of commands"
    commands = [line.split("#")[0].strip() for line in block[1].splitlines() if line.strip()]
    assert commands == ["make demo", "make test"]


def test_every_made_target_is_told() -> None:
    """Every target a person may call has its sentence in `make help`."""
    makefile = _text(ROOT / "Makefile")
    phony = re.search(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)
    assert phony
    told = set(re.findall(r"^([a-z-]+):.*## \S.*\.$", makefile, re.MULTILINE))
    assert set(phony[1].split()) == told


def test_this_house_is_checked_by_the_oldest_python_it_promises() -> None:
    """The tools judge for the oldest Python that pyproject.toml lets in."""
    project = tomllib.loads(_text(ROOT / "pyproject.toml"))
    assert project["project"]["requires-python"] == ">=3.11"
    assert project["tool"]["ruff"]["target-version"] == "py311"
    assert project["tool"]["mypy"]["python_version"] == "3.11"
    assert sys.version_info >= (3, 11)


def _assert_none(faults: list[str]) -> None:
    assert not faults, "\n" + "\n".join(sorted(faults))


def _name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@cache
def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(_text(path), filename=str(path))


def _python_files(*trees: str) -> list[Path]:
    """Every Python file written by hand below `trees` (all of them by default), in order."""
    found = [path for tree in trees or PYTHON_TREES for path in (ROOT / tree).rglob("*.py")]
    assert found, f"no Python file below {trees or PYTHON_TREES}"
    return sorted(path for path in found if GENERATED not in path.parents)


def _written_files() -> Iterator[Path]:
    for path in sorted(ROOT.iterdir()):
        if path.name in NOT_WRITTEN or path.name.endswith("_cache"):
            continue
        for file in [path] if path.is_file() else sorted(path.rglob("*")):
            if file.is_file() and file.suffix in WRITTEN_SUFFIXES and GENERATED not in file.parents:
                yield file


def _reached(tests: list[Path], product: dict[str, Path]) -> set[str]:
    """Follow imports from `tests` through the product; a test starts a module by naming it."""
    waiting = [module for path in tests for module in _imports(_tree(path))]
    waiting += [
        started
        for path in tests
        for node in ast.walk(_tree(path))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
        for started in (node.value, f"{node.value}.__main__")
    ]
    reached: set[str] = set()
    while waiting:
        module = waiting.pop()
        if module in product and module not in reached:
            reached.add(module)
            waiting += [module.rpartition(".")[0], *_imports(_tree(product[module]))]
            waiting += _imported_late(module, _tree(product[module]))
    return reached


def _imported_late(module: str, tree: ast.AST) -> Iterator[str]:
    """Every neighbour that a module with `import_module` names in a table of its own."""
    if "importlib.import_module" in _imports(tree):
        package = module.rpartition(".")[0]
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield f"{package}.{node.value}"


def _module(path: Path) -> str:
    name = _name(path).removeprefix("clients/python/src/")
    return name.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def _requirements(lock: str) -> list[str]:
    """Read a lock file's entries, each on one line, comments left out."""
    joined = _text(ROOT / lock).replace("\\\n", " ")
    lines = (re.sub(r"(^|\s)#.*", "", line) for line in joined.splitlines())
    return [" ".join(line.split()) for line in lines if line.strip()]


def _functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def _line_count(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


def _imports(tree: ast.AST) -> Iterator[str]:
    """Every module named by an import; `from a import b` names both `a` and `a.b`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _comments(path: Path) -> Iterator[tuple[int, str]]:
    """Every comment, cut at inner `#` marks: one line may silence two checkers."""
    for token in tokenize.generate_tokens(io.StringIO(_text(path)).readline):
        if token.type != tokenize.COMMENT:
            continue
        parts = [part.strip() for part in token.string.split("#") if part.strip()]
        # A reason may stand behind its own `#`: it belongs to the mark before it.
        for index, part in enumerate(parts):
            reasons = [later for later in parts[index + 1 :] if not PRAGMA.match(later)]
            yield token.start[0], " ".join([part, *reasons])


def _is_reason(text: str | None) -> bool:
    return sum(letter.isalpha() for letter in text or "") >= REASON_LETTERS_MIN


def _is_float(node: ast.AST) -> bool:
    if isinstance(node, ast.Constant):
        return isinstance(node.value, float | complex)
    return isinstance(node, ast.Name) and node.id in {"float", "complex"}


def _is_empty_handler(node: ast.AST) -> bool:
    if not isinstance(node, ast.ExceptHandler):
        return False
    return all(
        isinstance(line, ast.Pass)
        or (isinstance(line, ast.Expr) and isinstance(line.value, ast.Constant))
        for line in node.body
    )


def _is_broad_suppress(node: ast.AST) -> bool:
    if not isinstance(node, ast.Call) or _called(node).split(".")[-1] != "suppress":
        return False
    return any(ast.unparse(error) in {"Exception", "BaseException"} for error in node.args)


def _called(call: ast.Call) -> str:
    return ast.unparse(call.func)


def _sleeps_outside_loops(node: ast.AST, *, is_looping: bool = False) -> Iterator[ast.Call]:
    """Every sleep of a time that is not zero, unless a `while` around it looks at a condition."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Call) and _is_sleep(child) and not is_looping:
            yield child
        starts_anew = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        looping = isinstance(child, ast.While) or (is_looping and not starts_anew)
        yield from _sleeps_outside_loops(child, is_looping=looping)


def _is_sleep(call: ast.Call) -> bool:
    if _called(call) not in {"time.sleep", "sleep", "asyncio.sleep", "anyio.sleep"}:
        return False
    # Zero only lets other tasks run.
    return not (call.args and ast.unparse(call.args[0]) == "0")
