"""The page at `/` asks `POST /page/answers`: what each of some models says of one text, in any task, with its decision.

A model that can't read the text says why, in place of an answer; where none can, the request is refused.
"""

from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import Field

from rankwise.data.given import name_of
from rankwise.data.labels import in_figures
from rankwise.data.tasks import ORDERED
from rankwise.serving.catalogue import Served
from rankwise.serving.queue import Answer
from rankwise.serving.refusals import Refused, Statuses, openai_body
from rankwise.serving.states import Question, question, two_texts
from rankwise.serving.wire import MOST_QUESTIONS, Asked, Body, Call, Reply, checked, decided
from rankwise.serving.words import no_words


class Request(Body):
    text: str
    second: str | None = None
    """Of a pair; models that read one text read the first."""
    models: Annotated[list[str], Field(min_length=1, max_length=MOST_QUESTIONS)]


class Explain(Body):
    text: str
    second: str | None = None
    model: str


class Response(Reply):
    answers: list[dict[str, Any]]


request, reply = Request, Response
statuses = Statuses(json=400, value=422)
refusal = openai_body


def read(body: Any, call: Call) -> Asked:
    """A question for each model that can read the text. Raises Refused where none can."""
    given = checked(Request, body)
    runs = [call.catalogue.one(name) for name in given.models]
    found: list[Question | Refused] = [_question_or_why(run, given.text, given.second) for run in runs]
    questions = [one for one in found if isinstance(one, Question)]
    if not questions:
        raise next(one for one in found if isinstance(one, Refused))

    def answer(answers: Sequence[Answer]) -> dict[str, Any]:
        told, rest = [], iter(answers)
        for run, one in zip(runs, found, strict=True):
            said = {"problem": str(one)} if isinstance(one, Refused) else _told(run, next(rest))
            told.append({"model": run.name, "about": run.about, **said})
        return {"answers": told}

    return Asked(questions, answer)


def to_explain(body: Any, call: Call) -> Question:
    """The text of a body whose words are to be explained, for the run that it names. Raises Refused."""
    given = checked(Explain, body)
    return _question(call.catalogue.one(given.model), given.text, given.second)


def as_read(question: Question) -> dict[str, Any]:
    """The texts in which words have their places: one, or the two of a pair."""
    return {"texts": [question.text] if isinstance(question.text, str) else list(question.text)}


def _question(run: Served, text: str, second: str | None) -> Question:
    """What a run reads of one text or two. Raises Refused."""
    about = run.run.preprocessing
    if second is None and about.reads_pairs:
        columns = " and ".join(map(str, (*about.text, *(about.text_pair or ()))))
        told = f"it reads pairs of texts, {columns or 'two at a time'}: give a second text too"
        raise Refused(told, "missing_column", place=("second",))
    if second is not None and (about.reads_pairs or len(about.text) == 2):
        return two_texts(run, text, second, ("second",))
    return question(run, text, ("text",))


def _question_or_why(run: Served, text: str, second: str | None) -> Question | Refused:
    try:
        return _question(run, text, second)
    except Refused as why:
        return why


def _told(run: Served, answer: Answer) -> dict[str, Any]:
    label = answer.prediction.label
    if isinstance(label, dict):
        names = [f"{column}={name_of(one)}" for column, one in label.items()]
    elif isinstance(label, float):  # an estimate, of which no class has a probability
        names = [in_figures(label)]
    else:
        names = list(map(name_of, label if isinstance(label, tuple) else (label,)))
    return {
        "decision": names,
        "groups": [] if isinstance(label, float) else _groups(run, answer, set(names)),
        "tokens": answer.tokens,
        "no_words": no_words(run),
        **decided(answer, run.predictor.rule is not None),
    }


def _groups(run: Served, answer: Answer, names: set[str]) -> list[dict[str, Any]]:
    """The classes with their probabilities: those of each label column apart, in the order of their numbers."""
    classes = run.labels
    every = ("", list(range(len(classes))))
    columns = [(known.column, sorted(set(known.numbers.values()))) for known in run.label_sets] or [every]
    return [
        {
            "column": column,
            "ordered": run.run.task.name == ORDERED,
            "classes": [
                {
                    "label": classes[number].removeprefix(f"{column}=") if column else classes[number],
                    "probability": answer.probabilities[number],
                    "decided": classes[number] in names,
                }
                for number in numbers
            ],
        }
        for column, numbers in columns
    ]
