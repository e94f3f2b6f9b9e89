"""The floors hold: imports go down or sideways, never up or round; importing costs little and changes nothing."""

from __future__ import annotations

import ast
import importlib
import importlib.metadata
import json
import os
import subprocess
import sys
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import rankwise

ROOT = Path(rankwise.__file__).parent

# A module or a folder → its floor. A file imports only from floors below its own, or sideways on its own.
FLOORS = {
    **dict.fromkeys(
        (
            "errors",
            "specs",
            "recipe",
            "hub",
            "folders",
            "families",
            "encoders",
            "budget",
            "policies",
            "entries",
            "allocate",
            "fixes",
            "planner",
            "metrics",
        ),
        0,
    ),
    **dict.fromkeys(("cache", "machine", "work", "footprint", "cost", "significance", "published", "naming"), 0),
    **dict.fromkeys(("data", "model"), 1),
    **dict.fromkeys(("fitting", "evaluation", "predict", "baselines", "suspects", "importance"), 2),
    **dict.fromkeys(("card", "run"), 3),
    **dict.fromkeys(
        ("pipeline", "files", "shift", "learning_curve", "comparison", "reproduction", "sweep", "trial", "report"),
        4,
    ),
    **dict.fromkeys(("console", "arguments", "options", "verbs", "cli", "__init__", "__main__"), 5),
}
HEAVY = {"torch", "transformers", "peft", "accelerate", "sklearn", "safetensors", "tokenizers", "datasets"}
PUBLIC = [
    "Plan", "RankwiseError", "Recipe", "Run", "__version__", "builtin_recipes", "evaluate", "plan", "prepare", "train",
]  # fmt: skip


def dotted(path: Path) -> str:
    """src/rankwise/data/clean.py → rankwise.data.clean; a folder's __init__ is the folder, the package's stays itself."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    if len(parts) > 1 and parts[-1] == "__init__":
        parts = parts[:-1]
    return ".".join(("rankwise", *parts))


MODULES = {dotted(path): path for path in sorted(ROOT.rglob("*.py"))}


def unit(module: str) -> str:
    """The folder or the single file below `rankwise` that holds a module."""
    return module.split(".")[1]


@cache
def imports(module: str) -> frozenset[tuple[str, int]]:
    """(module, line) of every import in a file, late ones and those for type checkers too; ours in the names of MODULES."""
    found = set()
    package = module if MODULES[module].name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(ast.parse(MODULES[module].read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {(_ours(alias.name), node.lineno) for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = ".".join(package.split(".")[: len(package.split(".")) - node.level + 1]) if node.level else ""
            base = ".".join(filter(None, (above, node.module)))
            for alias in node.names:
                inner = f"{base}.{alias.name}"
                found.add((inner if inner in MODULES else _ours(base), node.lineno))
    return frozenset(found)


def _ours(name: str) -> str:
    return "rankwise.__init__" if name == "rankwise" else name


def inside(module: str) -> list[tuple[str, int]]:
    return sorted((name, line) for name, line in imports(module) if name.split(".")[0] == "rankwise" and name != module)


# ------------------------------------------------------------------------------------------------------------- floors


def test_every_module_stands_on_a_floor_and_every_floor_has_its_modules():
    assert {unit(module) for module in MODULES} == set(FLOORS)


def test_the_reader_of_imports_sees_late_ones_and_those_of_submodules():
    assert {"rankwise.pipeline", "rankwise.console"} <= {name for name, _ in inside("rankwise.verbs.train")}
    assert "rankwise.model.load" in {name for name, _ in inside("rankwise.verbs.data")}
    assert "rankwise.metrics" in {name for name, _ in inside("rankwise.evaluation")}  # from rankwise import metrics
    assert "peft" in {name for name, _ in imports("rankwise.model.adapters")}  # inside a function


@pytest.mark.parametrize("module", MODULES)
def test_imports_go_down_or_sideways(module):
    upward = [
        f"{MODULES[module].name}:{line} imports {name}"
        for name, line in inside(module)
        if FLOORS[unit(name)] > FLOORS[unit(module)]
    ]
    assert upward == []


def test_data_and_model_do_not_know_each_other():
    sides = {"data": "model", "model": "data"}
    met = [(module, line) for module in MODULES for name, line in inside(module) if sides.get(unit(module)) == unit(name)]
    assert met == []


def test_every_module_that_is_imported_exists():
    assert {name for module in MODULES for name, _ in inside(module)} <= set(MODULES)


def test_no_modules_import_each_other_in_a_circle():
    try:
        TopologicalSorter({module: {name for name, _ in inside(module)} for module in MODULES}).prepare()
    except CycleError as circle:
        pytest.fail(" → ".join(circle.args[1]))


def test_no_folders_import_each_other_in_a_circle():
    above = {name: set() for name in FLOORS}
    for module in MODULES:
        above[unit(module)] |= {unit(name) for name, _ in inside(module)} - {unit(module)}
    try:
        TopologicalSorter(above).prepare()
    except CycleError as circle:
        pytest.fail(" → ".join(circle.args[1]))


def test_only_the_adapters_import_peft():
    importers = {module for module in MODULES for name, _ in imports(module) if name.split(".")[0] == "peft"}
    assert importers == {"rankwise.model.adapters"}


@pytest.mark.parametrize("module", [module for module in MODULES if FLOORS[unit(module)] == 0])
def test_the_vocabulary_imports_no_heavy_library_even_late(module):
    assert {name.split(".")[0] for name, _ in imports(module)} & HEAVY == set()


def test_nothing_is_called_utils():
    assert [module for module in MODULES if {"utils", "util", "helpers", "common", "misc"} & set(module.split("."))] == []


@pytest.mark.parametrize("module", MODULES)
def test_every_module_says_in_its_docstring_what_it_is_for(module):
    assert ast.get_docstring(ast.parse(MODULES[module].read_text("utf-8")))


# ------------------------------------------------------------------------------------------------------- public names


def test_the_public_names_are_these():
    assert sorted(rankwise.__all__) == PUBLIC
    assert sorted(dir(rankwise)) == PUBLIC


@pytest.mark.parametrize("name", PUBLIC)
def test_a_public_name_resolves(name):
    assert getattr(rankwise, name) is not None


def test_another_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'rankwise' has no attribute 'nothing'"):
        rankwise.nothing  # noqa: B018


def test_the_version_is_the_installed_distributions():
    assert rankwise.__version__ == importlib.metadata.version("rankwise")


def fresh(program: str, *arguments: str) -> str:
    """What a program prints in a process of its own, with none of the variables that this one may have set."""
    kept = ("PATH", "HOME", "TMPDIR", "SYSTEMROOT", "LANG", "LD_LIBRARY_PATH", "PYTHONPATH", "VIRTUAL_ENV")
    environment = {name: os.environ[name] for name in kept if name in os.environ}
    command = [sys.executable, "-W", "error", "-c", program, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_public_name_stays_itself_whatever_has_been_imported():
    program = """
import warnings; warnings.simplefilter("ignore")
import rankwise, rankwise.pipeline, rankwise.cli
from types import ModuleType
print([name for name in rankwise.__all__ if isinstance(getattr(rankwise, name), ModuleType)])
"""
    assert fresh(program).strip() == "[]"


# -------------------------------------------------------------------------------------- what importing costs and changes

VERBS = {
    "--help": ["--help"],
    "plan": ["plan", "uniform-qkv"],
    "recipes": ["recipes"],
    "reproduce": ["reproduce"],
    "recipes show": ["recipes", "show", "auto"],
    "data --no-tokens": ["data", "sample", "--no-tokens"],
}
LOADED = """
import sys, io, contextlib
from rankwise.cli import main
sys.argv = ["rankwise", *sys.argv[1:]]
shown = io.StringIO()
with contextlib.redirect_stdout(shown), contextlib.suppress(SystemExit):
    main()
assert shown.getvalue(), "nothing was printed"
print([name for name in ("torch", "transformers", "peft", "sklearn") if name in sys.modules])
"""


@pytest.mark.parametrize("arguments", VERBS.values(), ids=VERBS.keys())
def test_a_verb_that_needs_no_torch_loads_none(arguments):
    assert fresh(LOADED, *arguments).strip() == "[]"


def test_importing_rankwise_loads_next_to_nothing():
    program = "import sys, rankwise; print([n for n in ('torch', 'transformers', 'pydantic', 'rich') if n in sys.modules])"
    assert fresh(program).strip() == "[]"


UNTOUCHED = """
import importlib, json, locale, logging, os, random, sys, warnings
warnings.simplefilter("default")
theirs, ours = json.loads(sys.argv[1])
for name in theirs:  # what other libraries change when they are imported is theirs
    importlib.import_module(name)
import numpy, torch, transformers

def state():
    return {
        "environment": dict(os.environ), "filters": list(warnings.filters), "level": logging.getLogger().level,
        "handlers": list(logging.getLogger().handlers), "random": random.getstate(),
        "numpy": repr(numpy.random.get_state()), "torch": torch.get_rng_state().tolist(),
        "locale": locale.setlocale(locale.LC_ALL), "threads": torch.get_num_threads(), "folder": os.getcwd(),
        "verbosity": transformers.utils.logging.get_verbosity(), "dtype": str(torch.get_default_dtype()),
        "deterministic": torch.are_deterministic_algorithms_enabled(), "hook": repr(sys.excepthook),
    }

before = state()
for name in ours:
    importlib.import_module(name)
after = state()
print([key for key in before if before[key] != after[key]])
"""


def test_importing_every_module_changes_nothing_outside_it():
    theirs = set()
    for path in MODULES.values():
        for node in ast.parse(path.read_text("utf-8")).body:  # at the top of a file, so imported with it
            if isinstance(node, ast.Import):
                theirs |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not (node.module or "rankwise").startswith("rankwise"):
                theirs.add(node.module)
    ours = [module.removesuffix(".__init__") for module in MODULES]
    assert {"torch", "numpy"} <= theirs
    assert fresh(UNTOUCHED, json.dumps([sorted(theirs - {"__future__"}), ours])).strip() == "[]"
