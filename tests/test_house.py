"""The shape of the package: its rooms, the size of its files, and no circle of imports."""

import ast
from pathlib import Path

import grimp

PACKAGE = Path(__file__).parents[1] / "src" / "fedtune3d"
ROOMS = {
    *("cli", "workflows", "report", "federation", "config", "training"),
    *("simulation", "preparation", "cohorts", "aggregation", "models", "evaluation", "_utils"),
}
LOOSE = {"__init__.py", "__main__.py", "testing.py", "py.typed"}
# These must shrink: the limits are 350 lines a module and 60 lines a function.
LONG_MODULES = {"config/experiment.py": 465, "federation/site/site.py": 390}
LONG_FUNCTIONS = {"simulation/simulate.py:simulate_sites": 66}
# Packages that list the files beside them, and re-export the function that does.
CATALOGUES = {"fedtune3d.aggregation", "fedtune3d.models.heads", "fedtune3d.cohorts.formats"}


def test_nothing_stands_beside_the_rooms() -> None:
    assert {path.name for path in PACKAGE.iterdir()} - {"__pycache__"} == ROOMS | LOOSE


def test_no_module_is_too_long() -> None:
    too_long = {}
    for path in PACKAGE.rglob("*.py"):
        name, lines = path.relative_to(PACKAGE).as_posix(), len(path.read_text().splitlines())
        if lines > LONG_MODULES.get(name, 350):
            too_long[name] = lines
    assert not too_long


def test_no_function_is_too_long() -> None:
    too_long = {}
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                name = f"{path.relative_to(PACKAGE).as_posix()}:{node.name}"
                lines = (node.end_lineno or 0) - node.lineno + 1
                if lines > LONG_FUNCTIONS.get(name, 60):
                    too_long[name] = lines
    assert not too_long


def test_no_modules_import_each_other_in_a_circle() -> None:
    graph = grimp.build_graph("fedtune3d", exclude_type_checking_imports=True, cache_dir=None)
    imports = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    for module, imported in imports.items():
        package = module.rpartition(".")[0]
        if package in CATALOGUES:
            imports[module] = imported - {package}
    # Whatever imports nothing that is left cannot be in a circle; what then remains is in one, or leads to one.
    while leaves := {module for module, imported in imports.items() if not imported}:
        imports = {module: imported - leaves for module, imported in imports.items() if module not in leaves}
    assert not imports
