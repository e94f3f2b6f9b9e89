"""The runs that are served, by name, and which of them answers.

A run is called as its folder, or as NAME in NAME=FOLDER. A folder of runs and a pattern such as 'runs/*' are looked up again
when the server reloads. A catalogue never changes: reloading makes another one, which keeps what is the same.
"""

import glob
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Protocol

from rankwise.data.tasks import LABEL_COLUMNS, MULTI_LABEL, REGRESSION
from rankwise.errors import RunError, as_typed
from rankwise.inference.predict import Predictor
from rankwise.run.decision import DECISION
from rankwise.run.folder import Run
from rankwise.run.manifest import CLASSIFIERS, MANIFEST, check_run, read_manifest
from rankwise.serving.refusals import Refused, listed
from rankwise.system.files import sha256

ANY_MODEL = ("jev-latest", "auto")  # what clients send that were not told a model


@dataclass(frozen=True)
class LabelSet:
    """Labels of which a text has exactly one: all of a run's, or those of one of its label columns."""

    numbers: Mapping[str, int]
    """Class numbers by label; of a column each label has two names, `billing` and `queue=billing`."""
    column: str = ""

    @property
    def size(self) -> int:
        return len(set(self.numbers.values()))


@dataclass(frozen=True, eq=False)
class Served:
    """A run in memory under a name. Nothing of it is read from its folder any more, which may go."""

    name: str
    run: Run
    predictor: Predictor = field(repr=False)
    digest: str
    """Of the manifest and the decision, by which a run is known to be the same."""
    adapter: str
    """`sha256:…` of what was trained."""
    base: str
    """The encoder's name."""
    made: int
    """When, in seconds since 1970."""
    about: str
    """What it is, in a line."""
    engine: str = "torch"
    """What computes its logits."""

    @property
    def labels(self) -> tuple[str, ...]:
        """The classes in the order of their numbers."""
        return self.run.preprocessing.classes

    @property
    def estimates(self) -> bool:
        """Whether it estimates a number, which is no label."""
        return self.run.preprocessing.task == REGRESSION

    @cached_property
    def label_sets(self) -> tuple[LabelSet, ...]:
        """One, or one for each label column; none where a text may have any number of labels, or a number is estimated."""
        about, numbers = self.run.preprocessing, {name: number for number, name in enumerate(self.labels)}
        if about.task == MULTI_LABEL or self.estimates:
            return ()
        if about.task != LABEL_COLUMNS:
            return (LabelSet(MappingProxyType(numbers)),)
        sets, first = [], 0
        for column, size in (about.columns or {}).items():
            both = {name: numbers[name] for name in self.labels[first : first + size]}
            both |= {name.removeprefix(f"{column}="): number for name, number in both.items()}
            sets.append(LabelSet(MappingProxyType(both), column))
            first += size
        return tuple(sets)

    def set_with(self, options: Sequence[str]) -> LabelSet | None:
        """The first set that has all these labels."""
        return next((known for known in self.label_sets if all(option in known.numbers for option in options)), None)

    def number_of(self, label: str) -> int | None:
        """The class that a label names; None where none does, or several do."""
        if label in self.labels and not self.estimates:
            return self.labels.index(label)
        found = [known.numbers[label] for known in self.label_sets if label in known.numbers]
        return found[0] if len(found) == 1 else None

    @property
    def positive(self) -> int | None:
        """The class that yes stands for, where the labels are true and false."""
        return self.labels.index("true") if set(self.labels) == {"true", "false"} else None


@dataclass(frozen=True)
class Catalogue:
    """The runs by name, in the order in which they were given."""

    runs: Mapping[str, Served]
    default_name: str | None = None
    """Of the run that answers where a request names none."""

    @property
    def default(self) -> Served | None:
        """The run that answers where a request names none: the one that was chosen, or the only one."""
        if self.default_name is not None:
            return self.runs.get(self.default_name)
        return next(iter(self.runs.values())) if len(self.runs) == 1 else None

    def named(self, name: str | None) -> Served | None:
        """The run of that name, or the default; None where there is no default. Raises Refused for a name that is none's."""
        if name is not None and name in self.runs:
            return self.runs[name]
        if name is None or name in ANY_MODEL:
            return self.default
        raise Refused(
            f"no model is called '{name:.80}'; there are {listed(self.runs) or 'none'}", "model_not_found", status=404
        )

    def one(self, name: str | None) -> Served:
        """The run of that name, or the default. Raises Refused where there is neither."""
        run = self.named(name)
        if run is None:
            raise Refused(f"name a model, for none is the default: {listed(self.runs)}", "ambiguous_model", place=("model",))
        return run


class Encoders(Protocol):
    """What runs share in memory."""

    def predictor(self, run: Run) -> Predictor | None:
        """A run on what others use too; None where it shares nothing."""


@dataclass(frozen=True)
class Shelf:
    """Which runs to serve, as it was typed, and how."""

    given: tuple[str, ...]
    default: str | None = None
    engine: str = "torch"
    base: Path | None = None
    encoders: Encoders | None = field(default=None, repr=False)
    """What runs share, where the engine can."""

    def folders(self) -> dict[str, Path]:
        """The folders of the runs by name. Raises RunError for what is no run, and for two of one name."""
        found = dict[str, Path]()
        for name, folder in (pair for given in self.given for pair in _runs_of(given)):
            if name in found and found[name].resolve() != folder.resolve():
                other = as_typed(f"OTHERNAME={folder}")
                raise RunError(f"{found[name]} and {folder} are both called '{name}'; give one another name: {other}")
            found.setdefault(name, folder)
        if self.default is not None and self.default not in found:
            raise RunError(f"--default {self.default}: no such run; expected one of {listed(found)}")
        return found

    def load(self, before: Catalogue | None = None) -> Catalogue:
        """Every run in memory; those of a catalogue `before` whose files are the same are kept. Raises RankwiseError."""
        kept, folders = {} if before is None else before.runs, self.folders()
        encoders = self.encoders if len(folders) > 1 else None  # alone, a run's adapter is folded into the weights
        loaded = {name: self._loaded(name, folder, kept.get(name), encoders) for name, folder in folders.items()}
        return Catalogue(loaded, self.default)

    def _loaded(self, name: str, folder: Path, before: Served | None, encoders: Encoders | None) -> Served:
        digest = digest_of(folder)
        if before is not None and before.digest == digest:
            return before
        run = Run.load(folder, base=self.base)
        predictor = (None if encoders is None else encoders.predictor(run)) or run.predictor_on(self.engine)
        written = read_manifest(folder).sha256
        (trained,) = (names[-1] for names in CLASSIFIERS if names[-1] in written)
        how = "counted words" if run.counts_words else f"{run.facts.base.name} + {run.recipe.adapter.method}"
        return Served(
            name=name,
            run=run,
            predictor=predictor,
            digest=digest,
            adapter=f"sha256:{written[trained]}",
            base=run.facts.base.name,
            made=int((folder / MANIFEST).stat().st_mtime),
            about=f"{f'{len(run.preprocessing.classes)} labels' if run.task.has_classes else 'estimates a number'}, {how}",
            engine=self.engine,
        )


def _runs_of(given: str) -> Iterator[tuple[str, Path]]:
    """(name, folder) of a run, of each run in a folder of runs, or of each that a pattern finds. Raises RunError."""
    name, equals, rest = given.partition("=")
    if equals and not os.path.exists(given) and "/" not in name:
        yield name, check_run(rest)
        return
    folder = Path(given)
    if (folder / MANIFEST).is_file():
        yield _name_of(folder), folder
        return
    inside = f"{glob.escape(given)}/*" if folder.is_dir() else given
    runs = sorted(Path(path) for path in glob.glob(inside) if (Path(path) / MANIFEST).is_file())
    if not runs and not folder.is_dir() and glob.has_magic(given):
        raise RunError(f"{given}: no run is there; expected a pattern that finds run folders, such as rankwise train writes")
    if not runs:
        check_run(folder)
    for run in runs:
        yield _name_of(run), run


def _name_of(folder: Path) -> str:
    return folder.name or folder.resolve().name


def digest_of(folder: Path) -> str:
    """By which a run is known to be the same: of its manifest and its decision."""
    decision = folder / DECISION
    return sha256(folder / MANIFEST) + (sha256(decision) if decision.is_file() else "")
