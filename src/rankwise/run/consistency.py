"""Whether the files of a run folder agree with each other, for a folder may come from somebody else.

Digests say that files are what its manifest lists; these checks say that what is computed is what they tell: the ranks of the
plan, peft's configuration and the recipe are written down in three places. Where they do not agree, and the run was written
with other versions of what reads it, those are told: what one version writes another may read otherwise.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from rankwise.errors import NAME, ModelError, RunError
from rankwise.model.methods import LiveAdapter, live_method
from rankwise.planning.plan import Plan, PlanFacts
from rankwise.run.engines import SavedRun
from rankwise.run.format import versions
from rankwise.run.manifest import PLAN, PREPROCESSING, RECIPE, SCORES, VERSIONS
from rankwise.system.files import read_json
from rankwise.system.memory import is_out_of_memory

ADAPTER_CONFIG = "adapter_config.json"
PLANNED = ("method", "head", "trainable_parameters", "ranks", "alphas")  # of plan.json, as the recipe gives them again
COMPARED = (  # of peft's configuration: what decides what an adapter computes
    *("peft_type", "r", "init_r", "lora_alpha", "rank_pattern", "alpha_pattern", "use_rslora", "use_dora", "bias"),
    *("init_lora_weights", "num_virtual_tokens"),
)
DEFAULTS = {"use_rslora": False, "use_dora": False, "init_lora_weights": True}  # where the plan says nothing
LOADING = (KeyError, IndexError, TypeError, ValueError, AttributeError, RuntimeError, SafetensorError)
"""What torch, peft and safetensors raise for files that do not fit each other."""
READERS = ("rankwise", "torch", "transformers", "peft", "safetensors")


@contextmanager
def checked(run: SavedRun) -> Iterator[Plan]:
    """The run's plan, with which its classifier is loaded inside. Raises RunError naming what contradicts what."""
    plan = run.plan()
    stored = read_json(run.folder / PLAN, PlanFacts)
    again = plan.facts()
    for key in PLANNED:
        if getattr(stored, key) != getattr(again, key):
            raise _contradiction(run.folder, f"{PLAN}: {key} is not what {RECIPE} gives")
    if tuple(read_json(run.folder / SCORES, dict[str, Any]).get("classes", ())) != run.preprocessing.classes:
        raise _contradiction(run.folder, f"{SCORES} is of other classes than {PREPROCESSING}, or of another order")
    longest, length = plan.encoder.longest, run.preprocessing.max_length
    if longest is not None and length > longest - plan.prefix_length:
        raise _contradiction(run.folder, f"{PREPROCESSING}: texts of {length:,} tokens, but the encoder reads {longest:,}")
    method = live_method(plan)
    if isinstance(method, LiveAdapter):
        _check_adapter(run.folder, method.config(plan, seed=0), plan)
    try:
        yield plan
    except ModelError as error:
        if others := _other_versions(run.folder):
            raise ModelError(f"{error}; {others}") from error
        raise
    except LOADING as error:
        if is_out_of_memory(error):
            raise
        told = (str(error).strip() or type(error).__name__).splitlines()[-1].strip()
        raise _contradiction(run.folder, f"its classifier can't be loaded ({told})") from error


def _check_adapter(folder: Path, planned: Mapping[str, Any], plan: Plan) -> None:
    """Raises RunError where peft would make another adapter of the saved configuration than the plan has."""
    saved = read_json(folder / ADAPTER_CONFIG, dict[str, Any])
    below = f"{plan.encoder.root}." if plan.encoder.pools else ""
    wanted = {**{key: value for key, value in DEFAULTS.items() if key in saved}, **planned}
    for key in COMPARED:
        if key in wanted and _plain(saved.get(key)) != _plain(wanted[key], below):
            raise _contradiction(folder, f"{ADAPTER_CONFIG}: {key} is {saved.get(key)!r}, but {PLAN} has {wanted[key]!r}")


def _plain(value: Any, below: str = "") -> Any:
    """A value of peft's configuration: no pattern is an empty one, and module paths are as they are in a pooled encoder."""
    if isinstance(value, Mapping):
        escaped = below.replace(".", r"\.")
        return {key.removeprefix(below).removeprefix(escaped): entry for key, entry in value.items()}
    return {} if value is None else value


def _contradiction(folder: Path, what: str) -> RunError:
    advice = "copy the folder again, or train again"
    if others := _other_versions(folder):
        advice = f"{others}, or {advice}"
    return RunError(f"{folder}: {what if len(what) < 300 else what[:297] + '…'}; {advice}")


def _other_versions(folder: Path) -> str:
    """Which of a run's readers it was written with other versions of, and how to get those; empty where none are others."""
    written, here = read_json(folder / VERSIONS, dict[str, str]), versions()
    public = {name: version.partition("+")[0] for name in READERS if (version := written.get(name))}
    others = {name: version for name, version in public.items() if version != here[name].partition("+")[0]}
    if not others:
        return ""
    told = ", ".join(f"{name} {version} (here {here[name]})" for name, version in others.items())
    wanted = " ".join(f"{name}=={version}" for name, version in others.items() if name != NAME)  # which no index may have
    return f"the run was written with {told}{wanted and f': pip install {wanted}'}"
