"""The shape of the sources: tests mirror them, the maps are true, files and functions stay short."""

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path
from statistics import median

import pytest

ROOT = Path(__file__).parents[1]
# Tests of a whole stage from outside, which belong to no one module.
WITHOUT_SOURCE = {
    "tests/gateway/windowing/test_window_properties.py": "what holds of any window, by generated conversations",
    "tests/gateway/windowing/test_shared_cases.py": "windows of real requests, where the machine has them",
    "tests/gateway/windowing/test_responses_properties.py": "windows of any request to the Responses API",
    "tests/gateway/http1/test_connection_bodies.py": "what a connection to an upstream sends",
    "tests/gateway/http1/test_connection_clocks.py": "what it does when time passes",
    "tests/gateway/http1/test_inbound_refusals.py": "what a client's connection refuses",
    "tests/gateway/http1/test_inbound_slowness.py": "what it does with clients that are slow",
    "tests/gateway/http1/test_inbound_ends.py": "how it ends",
    "tests/gateway/test_pipeline_routing.py": "where the pipeline sends what is relayed",
    "tests/gateway/test_pipeline_shadow.py": "what the pipeline does in shadow mode",
    "tests/gateway/store/test_contract_ledger.py": "the part of the contract that is about the ledger",
    "tests/gateway/store/test_contract_latest.py": "the part of it that is about the latest entries and receipts",
    "tests/gateway/store/test_shared_leases.py": "several workers on one file that lease of the same counters",
    "tests/gateway/store/test_interleaving.py": "operations in any order, on each store, beside a simple model",
}
# Each package with a map, and the packages below it whose modules that map names too.
MAPS = {
    "gateway": ("gateway/api",),
    "gateway/budgets": (),
    "gateway/diagnosis": (),
    "gateway/effective": (),
    "gateway/console": (),
    "gateway/http1": (),
    "gateway/reporting": (),
    "gateway/store": (),
    "gateway/teams": (),
    "gateway/upstreams": (),
    "gateway/windowing": (),
    "retrieval": (),
}


def sources() -> list[Path]:
    """Return all source files, relative to the project."""
    paths = [path for package in ("gateway", "retrieval") for path in (ROOT / package).rglob("*.py")]
    return sorted(path.relative_to(ROOT) for path in paths)


def mirrors() -> list[Path]:
    """Return all test files of these sources, relative to the project."""
    paths = [path for package in ("gateway", "retrieval") for path in (ROOT / "tests" / package).rglob("test_*.py")]
    return sorted(path.relative_to(ROOT) for path in paths)


def tree(path: Path) -> ast.Module:
    return ast.parse((ROOT / path).read_text())


def functions(path: Path) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    return [node for node in ast.walk(tree(path)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


def defines(path: Path) -> bool:
    return bool(functions(path)) or any(isinstance(node, ast.ClassDef) for node in ast.walk(tree(path)))


def mirrored(source: Path) -> Path:
    return "tests" / source.with_name(f"test_{source.name}")


def source_of(test: Path) -> Path:
    return test.relative_to("tests").with_name(test.name.removeprefix("test_"))


def docstring(package: str) -> str:
    return ast.get_docstring(tree(Path(package, "__init__.py"))) or ""


def named(package: str) -> set[Path]:
    """Return the modules that a package's map names; a line about a folder (`teams/`) names modules within it."""
    found = set()
    for line in docstring(package).splitlines():
        folder = re.match(r"\s*(\w+)/\s", line)
        home = Path(package, folder[1] if folder else "")
        found |= {home / name for name in re.findall(r"[\w/]+\.py\b", line)}
    return found


def test_every_module_has_its_test_file() -> None:
    modules = [path for path in sources() if path.stem != "__init__" and defines(path)]
    assert modules
    assert [str(path) for path in modules if mirrored(path) not in mirrors()] == []


def test_every_test_file_has_its_module() -> None:
    assert {str(path) for path in mirrors() if source_of(path) not in sources()} == set(WITHOUT_SOURCE)


def test_every_test_file_tests() -> None:
    assert [str(path) for path in mirrors() if not any(f.name.startswith("test_") for f in functions(path))] == []


@pytest.mark.parametrize("package", MAPS)
def test_a_map_names_every_module(package: str) -> None:
    homes = {Path(package), *map(Path, MAPS[package])}
    modules = {path for path in sources() if path.parent in homes and path.stem != "__init__"}
    assert modules - named(package) == set()


@pytest.mark.parametrize("package", MAPS)
def test_a_map_names_no_module_that_is_not_there(package: str) -> None:
    assert named(package) - set(sources()) == set()


def test_every_package_is_on_a_map() -> None:
    packages = {str(path.parent) for path in sources()}
    assert packages == {*MAPS, *(below for homes in MAPS.values() for below in homes)}


def test_files_stay_short() -> None:
    tests = [path.relative_to(ROOT) for path in (ROOT / "tests").rglob("*.py")]
    lengths = {str(path): len((ROOT / path).read_text().splitlines()) for path in (*sources(), *tests)}
    assert {path: length for path, length in lengths.items() if length >= 400} == {}


@pytest.mark.parametrize("package, extras", [("gateway", ()), ("retrieval", ()), ("demo", ("dev",))])
def test_what_is_imported_is_declared(package: str, extras: tuple[str, ...]) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = [*project["dependencies"], *(line for extra in extras for line in project["optional-dependencies"][extra])]
    declared = {_plain(re.split(r"[\[<>=; ]", line)[0]) for line in lines}
    packages = packages_distributions()
    foreign = imported(package) - sys.stdlib_module_names - {"gateway", "retrieval", "demo", "benchmarks"}
    assert foreign
    assert [name for name in sorted(foreign) if declared.isdisjoint(map(_plain, packages.get(name, ())))] == []


def imported(package: str) -> set[str]:
    """Return the first names of all modules that a package imports, at its files' beginning or anywhere else."""
    nodes = [node for path in (ROOT / package).rglob("*.py") for node in ast.walk(ast.parse(path.read_text()))]
    plain = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    of = [node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module and not node.level]
    return {name.partition(".")[0] for name in (*plain, *of)}


def _plain(distribution: str) -> str:
    return re.sub(r"[-_.]+", "-", distribution).lower()


def test_functions_stay_short() -> None:
    lengths = [(f.end_lineno or 0) - f.lineno + 1 for path in sources() for f in functions(path)]
    assert median(lengths) < 10
