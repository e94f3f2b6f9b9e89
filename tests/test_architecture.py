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
from typing import get_args

import pytest

import rankwise
from rankwise.encoders.families import FAMILIES
from rankwise.model import methods as model_methods
from rankwise.model.methods import LiveAdapter
from rankwise.planning import methods as planning_methods
from rankwise.planning.methods import LowRank
from rankwise.recipe.methods import METHODS, MethodName

ROOT = Path(rankwise.__file__).parent

# From the ground up, in the order of the data: a folder imports only from folders before it.
FOLDERS = (
    "errors",
    "stats",
    "system",
    "recipe",
    "encoders",
    "planning",
    "data",
    "model",
    "inference",
    "training",
    "run",
    "workflows",
    "published",
    "sweep",
    "report",
    "integrations",
    "serving",
    "__init__",
    "cli",
    "__main__",
)
WITHOUT_TORCH = ("errors", "stats", "recipe", "encoders", "planning")  # not even late
HEAVY = {"torch", "transformers", "peft", "accelerate", "sklearn", "safetensors", "tokenizers", "datasets"}
PUBLIC = [
    "Plan",
    "Prediction",
    "RankwiseClassifier",
    "RankwiseError",
    "Recipe",
    "Run",
    "__version__",
    "builtin_recipes",
    "evaluate",
    "plan",
    "prepare",
    "suggest",
    "train",
]


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


def test_every_module_lies_in_a_folder_of_the_order_and_each_of_these_has_modules():
    assert {unit(module) for module in MODULES} == set(FOLDERS)


def test_at_most_five_files_lie_in_the_package_itself():
    assert len(list(ROOT.glob("*.py"))) <= 5


def test_the_reader_of_imports_sees_late_ones_and_those_of_submodules():
    assert {"rankwise.workflows.train", "rankwise.cli.console"} <= {name for name, _ in inside("rankwise.cli.verbs.train")}
    assert "rankwise.model.load" in {name for name, _ in inside("rankwise.cli.verbs.data")}
    assert "rankwise.stats.scores" in {
        name for name, _ in inside("rankwise.inference.evaluation")
    }  # from rankwise import metrics
    assert "sklearn.linear_model" in {name for name, _ in imports("rankwise.data.prepare")}  # inside a function


def test_a_folder_imports_only_from_folders_before_it():
    place = {name: number for number, name in enumerate(FOLDERS)}
    upward = [
        f"{module}:{line} imports {name}"
        for module in MODULES
        for name, line in inside(module)
        if place[unit(name)] > place[unit(module)]
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


def test_only_the_adapters_import_peft():
    importers = {module for module in MODULES for name, _ in imports(module) if name.split(".")[0] == "peft"}
    assert importers == {"rankwise.model.adapters"}


def test_what_plans_imports_no_heavy_library_even_late():
    heavy = [
        f"{module}:{line} imports {name}"
        for module in MODULES
        for name, line in imports(module)
        if unit(module) in WITHOUT_TORCH and name.split(".")[0] in HEAVY
    ]
    assert heavy == []


def test_an_encoder_familys_name_stands_in_its_own_file_only():
    named = [
        f"{module}:{node.lineno} names {node.value}"
        for module, path in MODULES.items()
        if not module.startswith("rankwise.encoders.families.")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Constant) and node.value in FAMILIES
    ]
    assert named == []


METHOD_HOMES = ("rankwise.recipe.methods", "rankwise.planning.methods", "rankwise.model.methods")
WORDS_OF_THEIR_OWN = {"full", "head", "bias", "prefix", "prompt"}  # methods whose name says something else too


def asks_for_a_method(node: ast.AST) -> bool:
    """Whether an expression compares a method's name, or looks something up by it but for the method itself."""
    if isinstance(node, ast.Compare):
        sides = [node.left, *node.comparators]
        constants = {part.value for side in sides for part in ast.walk(side) if isinstance(part, ast.Constant)}
        return any(ast.unparse(side).endswith("method") for side in sides) and bool(constants & set(METHODS))
    if isinstance(node, ast.Subscript):
        return ast.unparse(node.slice).endswith(".method") and not ast.unparse(node.value).endswith("METHODS")
    if isinstance(node, ast.Call):
        gets = isinstance(node.func, ast.Attribute) and node.func.attr == "get"
        return gets and any(ast.unparse(argument).endswith(".method") for argument in node.args)
    return isinstance(node, ast.Match) and ast.unparse(node.subject).endswith("method")


def test_what_depends_on_a_methods_name_is_in_its_own_files_and_its_row_only():
    asked = [
        f"{module}:{node.lineno}"
        for module, path in MODULES.items()
        if not module.startswith(METHOD_HOMES)
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if asks_for_a_method(node) or (isinstance(node, ast.Constant) and node.value in set(METHODS) - WORDS_OF_THEIR_OWN)
    ]
    assert [line.partition(":")[0] for line in asked] == ["rankwise.recipe.adapter"], "the default of adapter.method"


def test_the_reader_of_methods_sees_what_it_looks_for():
    lines = ["x.method == 'full'", "method in ('head', 'ia3')", "{'full': 1}[x.method]", "USUAL.get(x.method, 0)"]
    assert all(any(map(asks_for_a_method, ast.walk(ast.parse(line)))) for line in lines)
    assert not any(
        map(asks_for_a_method, ast.walk(ast.parse("METHODS[x.method]; kind == 'head'; before.method != after.method")))
    )


def test_every_method_has_its_row_and_both_halves():
    assert set(METHODS) == set(get_args(MethodName)) == set(planning_methods.METHODS) == set(model_methods.METHODS)
    for name, row in METHODS.items():
        assert row.has_ranks == isinstance(planning_methods.METHODS[name], LowRank), name
        assert row.is_apart == isinstance(model_methods.METHODS[name], LiveAdapter), name


def test_a_devices_kind_is_known_to_the_device_alone_and_what_records_on_cuda():
    known = [
        f"{module}:{node.lineno} {ast.unparse(node)}"
        for module, path in MODULES.items()
        if module not in ("rankwise.system.device", "rankwise.training.cuda_graphs")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if _tells_devices_apart(node)
    ]
    assert known == []


def _tells_devices_apart(node: ast.AST) -> bool:
    """Whether this is the name of an accelerator, a module of torch's for one, or a comparison with the CPU's name."""
    if isinstance(node, ast.Attribute):
        return ast.unparse(node) in ("torch.cuda", "torch.mps", "torch.accelerator") or node.attr in ("is_cuda", "is_mps")
    if isinstance(node, ast.Compare):
        return any(isinstance(side, ast.Constant) and side.value == "cpu" for side in (node.left, *node.comparators))
    return isinstance(node, ast.Constant) and node.value in ("cuda", "mps")


def test_nothing_is_called_utils():
    assert [module for module in MODULES if {"utils", "util", "helpers", "common", "misc"} & set(module.split("."))] == []


def test_every_module_says_in_its_docstring_what_it_is_for():
    assert [module for module, path in MODULES.items() if not ast.get_docstring(ast.parse(path.read_text("utf-8")))] == []


# ------------------------------------------------------------------------------------------------------- public names


def test_the_public_names_are_these():
    assert sorted(rankwise.__all__) == PUBLIC
    assert sorted(dir(rankwise)) == PUBLIC
    assert [name for name in PUBLIC if getattr(rankwise, name) is None] == []


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
import rankwise, rankwise.workflows.train, rankwise.cli.app
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
    "plan --suggest": ["plan", "--suggest", "--json"],
}
LOADED = """
import sys, io, contextlib
from rankwise.cli.app import main
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


PREDICTED = """
import sys
from rankwise import Run
assert Run.load(sys.argv[1]).predict(["apple"], engine=sys.argv[2])
print([name for name in sys.argv[3:] if name in sys.modules])
"""


@pytest.mark.parametrize(
    ("engine", "without"),
    [
        ("torch", ("transformers", "peft", "accelerate", "sklearn", "scipy", "pyarrow")),
        ("onnx", ("torch", "transformers", "peft", "accelerate", "sklearn", "scipy", "pyarrow", "safetensors", "pydantic")),
    ],
)
def test_predicting_imports_only_what_the_engine_runs_on(run_for, engine, without):
    run = run_for("bert", "train.epochs=1")
    run.predict(["apple"], engine=engine)  # where an export is made, which needs torch
    program = f"import os; os.environ['RANKWISE_CACHE'] = {os.environ['RANKWISE_CACHE']!r}\n{PREDICTED}"
    assert fresh(program, str(run.folder), engine, *without).strip() == "[]"


TYPED = """
import sys
from rankwise.cli.app import main
unwanted, sys.argv = sys.argv[1].split(), ["rankwise", *sys.argv[2:]]
try:
    main()
finally:
    print([name for name in unwanted if name in sys.modules])
"""


def test_a_text_predicted_from_the_shell_imports_what_that_takes_and_no_more(run_for):
    """Imports are most of its time, and these are what it once imported without a need."""
    run = run_for("bert", "train.epochs=1")
    run.predict(["apple"], engine="onnx")
    unwanted = "torch transformers peft accelerate sklearn scipy pandas pyarrow safetensors datasets optuna matplotlib "
    unwanted += "rich yaml filelock rankwise.recipe rankwise.encoders rankwise.planning rankwise.run.format "
    unwanted += "rankwise.system.events rankwise.workflows rankwise.cli.console rankwise.cli.options rankwise.cli.verbs.train"
    program = f"import os; os.environ['RANKWISE_CACHE'] = {os.environ['RANKWISE_CACHE']!r}\n{TYPED}"
    label, loaded = fresh(program, unwanted, "predict", str(run.folder), "--text", "apple", "--engine", "onnx").splitlines()
    assert label.endswith("apple")
    assert loaded == "[]"


def test_help_imports_no_verb():
    unwanted = "numpy pydantic rich rankwise.recipe rankwise.cli.verbs"
    assert fresh(TYPED, unwanted, "--help").splitlines()[-1] == "[]"


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
    theirs = set()  # what is imported with a file of ours
    for path in MODULES.values():
        top = ast.parse(path.read_text("utf-8")).body
        for node in [*top, *(inner for outer in top if isinstance(outer, ast.With) for inner in outer.body)]:
            if isinstance(node, ast.Import):
                theirs |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not (node.module or "rankwise").startswith("rankwise"):
                theirs.add(node.module)
    ours = [module.removesuffix(".__init__") for module in MODULES]
    assert {"torch", "numpy"} <= theirs
    assert fresh(UNTOUCHED, json.dumps([sorted(theirs - {"__future__"}), ours])).strip() == "[]"
