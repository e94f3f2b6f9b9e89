"""What the decision APIs ask of a text, in the labels of runs: a choice among labels, a yes or no, a place on a scale.

A run knows its own labels and no others, so options are labels, spelled exactly. Where no run is named and none is the
default, the only run that has all of a question's labels answers it. Shapes: n options of a question, C classes of a run.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from rankwise.serving.catalogue import Catalogue, LabelSet, Served
from rankwise.serving.queue import Answer
from rankwise.serving.refusals import Place, Refused, listed


class Runs(Protocol):
    """Which run answers a question; a catalogue's `Labels`, or in a test one that knows every label."""

    def with_options(self, model: str | None, options: Sequence[str], places: Sequence[Place]) -> tuple[Served, LabelSet]:
        """The run that tells these options apart. Raises Refused."""

    def with_label(self, model: str | None, candidates: Sequence[str], place: Place) -> tuple[Served, int]:
        """The run that knows the first of these labels that is one, and its class. Raises Refused."""


@dataclass(frozen=True)
class Labels:
    """The runs of a catalogue, asked by their own labels."""

    catalogue: Catalogue

    def with_options(self, model: str | None, options: Sequence[str], places: Sequence[Place]) -> tuple[Served, LabelSet]:
        run = self.catalogue.named(model)
        if run is None:
            fitting = {one.name: one for one in self.catalogue.runs.values() if one.set_with(options)}
            run = _only(fitting, f"all of the labels {listed(options)}", self.catalogue, places[0][:-1])
        _check_classes(run, places[0][:-1])
        if not run.label_sets:
            raise Refused(
                f"the model '{run.name}' gives a text any number of its labels, and a choice is exactly one; ask a yes-or-no "
                "question for each label, with the label where its criterion for yes stands",
                "several_labels",
                place=places[0][:-1],
            )
        known = run.set_with(options)
        if known is None:
            closest = max(run.label_sets, key=lambda labels: sum(option in labels.numbers for option in options))
            strange = next(number for number, option in enumerate(options) if option not in closest.numbers)
            raise Refused(
                f"'{options[strange]:.80}' is no label of the model '{run.name}', whose labels are {listed(run.labels)}",
                "unknown_label",
                place=places[strange],
            )
        if len({known.numbers[option] for option in options}) < len(options):
            raise Refused("two options are one label", "repeated_label", place=places[0][:-1])
        return run, known

    def with_label(self, model: str | None, candidates: Sequence[str], place: Place) -> tuple[Served, int]:
        run = self.catalogue.named(model)
        if run is None:
            for label in candidates:
                fitting = {one.name: one for one in self.catalogue.runs.values() if one.number_of(label) is not None}
                if fitting:
                    run = _only(fitting, f"the label '{label:.80}'", self.catalogue, place)
                    break
            else:
                asked = f"the label {listed(candidates)}" if candidates else "a label, and none was asked for"
                told = f"none of {listed(self.catalogue.runs)} has {asked}"
                raise Refused(f"{told}; name a model, and spell one of its labels", "unknown_label", place=place)
        _check_classes(run, place)
        for label in candidates:
            number = run.number_of(label)
            if number is not None:
                return run, number
        if run.positive is not None:
            return run, run.positive
        raise Refused(
            f"a yes-or-no question asks for a label: spell one of the model '{run.name}' as the criterion for yes, or as the "
            f"instructions; its labels are {listed(run.labels)}",
            "unknown_label",
            place=place,
        )


def on_scale(runs: Runs, model: str | None, levels: Sequence[str], places: Sequence[Place]) -> tuple[Served, LabelSet]:
    """The run whose labels, each once, are the levels of a scale. Raises Refused."""
    run, known = runs.with_options(model, levels, places)
    if known.size > len(levels):
        raise Refused(
            f"a scale has each label of the model '{run.name}' once, and these {len(levels)} are not all of {known.size}; "
            "ask for a choice among some of them",
            "missing_label",
            place=places[0][:-1],
        )
    return run, known


def _check_classes(run: Served, place: Place) -> None:
    """Raise Refused for a run that estimates a number, which is no label."""
    if run.estimates:
        told = f"the model '{run.name}' estimates a number and knows no labels; ask POST /predict or /classify for it"
        raise Refused(told, "unknown_label", place=place)


def _only(fitting: dict[str, Served], what: str, catalogue: Catalogue, place: Place) -> Served:
    if len(fitting) == 1:
        return next(iter(fitting.values()))
    if fitting:
        raise Refused(f"several models have {what}: {listed(fitting)}; name one", "ambiguous_model", place=place)
    each = "; ".join(f"{run.name} has {listed(run.labels[:8])}" for run in list(catalogue.runs.values())[:8])
    raise Refused(f"no model has {what}: {each}", "unknown_label", place=place)


@dataclass(frozen=True)
class Chosen:
    """How an answer reads in a question's options."""

    option: str
    confidence: float
    probabilities: list[float]
    """Of the options, in their order; they add up to 1."""
    mass: float | None
    """The probability of these options among all labels; None where all are asked for."""


def chosen(answer: Answer, run: Served, known: LabelSet, options: Sequence[str]) -> Chosen:
    """The answer in these options: among all labels the run's own decision, else the likeliest."""
    numbers = [known.numbers[option] for option in options]
    probabilities = np.array([answer.probabilities[number] for number in numbers])  # (n,)
    if len(numbers) == known.size:
        label: Any = answer.prediction.label
        label = label[known.column] if isinstance(label, dict) else label
        named = run.run.preprocessing.labels.index(label) if not known.column else known.numbers[str(label)]
        place, mass = numbers.index(named), None
    else:
        mass = float(probabilities.sum())
        probabilities = probabilities / mass if mass > 0 else np.full(len(numbers), 1 / len(numbers))
        place = int(probabilities.argmax())
    return Chosen(options[place], choice_confidence(probabilities), probabilities.tolist(), mass)


def choice_confidence(probabilities: NDArray[np.float64]) -> float:
    """(max - 1/n) / (1 - 1/n): 0 for a guess, 1 for certainty."""
    guess = 1 / len(probabilities)
    return float(np.clip((probabilities.max() - guess) / (1 - guess), 0, 1))


def scale(probabilities: Sequence[float]) -> tuple[float, float]:
    """(the mean place on a scale from 0, how sure that is) of the probabilities of its levels (n,).

    The confidence is 1 less the mean distance from the likeliest level over that of levels that are all as likely.
    """
    values, places = np.asarray(probabilities), np.arange(len(probabilities))
    spread = np.abs(places - (len(places) - 1) / 2).mean()
    distance = float(values @ np.abs(places - values.argmax()))
    return float(values @ places), max(0.0, 1 - distance / float(spread))
