"""The model card, card.md filled in from the run: what it is, what it scored, how to use it, how to make it again.

YAML front matter follows the Hugging Face hub's model card metadata (base_model, library_name, pipeline_tag, model-index).
"""

from collections.abc import Mapping, Sequence
from importlib.resources import files

from rankwise.data.tasks import LABEL_COLUMNS, MULTI_LABEL, ONE_LABEL, ORDERED, REGRESSION, SINGLE_LABEL, task_called
from rankwise.encoders.base import Base
from rankwise.planning.plan import Plan
from rankwise.recipe import Recipe
from rankwise.recipe.yaml import dump
from rankwise.run.format import LadderFacts, RunScores
from rankwise.run.verdict import verdict
from rankwise.stats.score_names import called
from rankwise.system.visible import one_line, visible

ADAPTER = """\
import json
from pathlib import Path

{torch}from peft import PeftModel
from transformers import AutoModelForSequenceClassification, AutoTokenizer

folder = Path("path/to/this/folder")
about = json.loads((folder / "preprocessing.json").read_text("utf-8"))
head = {{
    "num_labels": len(about["classes"]),
    "id2label": dict(enumerate(about["classes"])),
    "label2id": {{name: number for number, name in enumerate(about["classes"])}},
    "problem_type": "{problem}",
    "dtype": "float32",  # in which it was trained, however the base is stored
    "ignore_mismatched_sizes": True,  # the base may have a head of its own, whose place the trained one takes
}}
base = AutoModelForSequenceClassification.from_pretrained("{base}", {revision}**head){where}
model = PeftModel.from_pretrained(base, folder).eval()
tokenizer = AutoTokenizer.from_pretrained(folder)

texts = {texts}
inputs = tokenizer({given}, return_tensors="pt", padding=True, truncation=True, max_length=about["max_length"])
logits = model(**inputs)[0]
scores = logits.{squash}
{answer}"""
WHOLE_MODEL = """\
import json
from pathlib import Path

from transformers import pipeline

folder = Path("path/to/this/folder")
about = json.loads((folder / "preprocessing.json").read_text("utf-8"))
classify = pipeline("text-classification", str(folder), truncation=True, max_length=about["max_length"]{every})
print(classify({text_or_pair}))"""
ONE_OF = "print([model.config.id2label[int(best)] for best in scores.argmax(-1)])"
MEDIAN = """\
medians = (scores.cumsum(-1) >= 0.5).int().argmax(-1)  # of classes from low to high
print([model.config.id2label[int(median)] for median in medians])"""
OF_COLUMNS = """\
of_columns = zip(about["columns"], [part.softmax(-1) for part in scores])
print({column: part.argmax(-1).tolist() for column, part in of_columns})  # the number of the class among the column's own"""
A_NUMBER = """\
bounds = about.get("bounds") or [float("-inf"), float("inf")]
print(scores.clamp(*bounds).tolist())"""
EACH_OF = """\
limits = torch.tensor(about.get("thresholds") or [0.5] * len(about["classes"]))
print([[about["classes"][number] for number in row.nonzero()[:, 0]] for row in scores >= limits])"""
POOLED = """\
import json
from pathlib import Path

{imports}{torch}from safetensors.torch import load_file
from transformers import AutoModel, AutoTokenizer

folder = Path("path/to/this/folder")
about = json.loads((folder / "preprocessing.json").read_text("utf-8"))
settings = {{
    "dtype": "float32",  # in which it was trained, however the base is stored
    "id2label": dict(enumerate(about["classes"])),
    "label2id": {{name: number for number, name in enumerate(about["classes"])}},
}}
model = {encoder}.eval(){where}
head = load_file(folder / "2_Dense/model.safetensors")
tokenizer = AutoTokenizer.from_pretrained(folder)

texts = {texts}
{read}
scores = (read @ head["linear.weight"].T + head["linear.bias"]).{squash}
{answer}
```

{one_call}

```python
from sentence_transformers import SentenceTransformer

{encoded} = SentenceTransformer("path/to/this/folder").encode([{text_or_tuple}])"""
COUNTED = """\
from pathlib import Path

import skops.io  # and scikit-learn

folder = Path("path/to/this/folder")
words = skops.io.load(folder / "words.skops")
print(words.predict([{joined}]))"""
SINGLE = {
    "texts": '["A text to classify."]',
    "given": "texts",
    "text_or_pair": '"A text to classify."',
    "text_or_tuple": '"A text to classify."',
    "joined": '"A text to classify."',
}
PAIR = {
    "texts": '[("The first text of a pair.", "The second text.")]',
    "given": "*map(list, zip(*texts))",
    "text_or_pair": '{"text": "The first text of a pair.", "text_pair": "The second text."}',
    "text_or_tuple": '("The first text of a pair.", "The second text.")',
    "joined": '"The first text of a pair. The second text."',
}
HIDDEN = """\
inputs = tokenizer({given}, return_tensors="pt", padding=True, truncation=True, max_length=about["max_length"])
hidden = model(**inputs)[0]
"""
APART = """\
pairs = tokenizer(*map(list, zip(*texts)), truncation=True, max_length=about["max_length"])
rows, means = list(zip(pairs["input_ids"], pairs["token_type_ids"])), []
for side in (0, 1):
    alone = [[token for token, segment in zip(*row) if segment == side] for row in rows]
    inputs = tokenizer.pad({"input_ids": alone}, return_tensors="pt")
    mask = inputs["attention_mask"][..., None]
    means.append((model(**inputs)[0] * mask).sum(1) / mask.sum(1))
u, v = means
read = torch.cat([(u - v).abs(), u * v], -1)"""
READ = {
    "mean": 'mask = inputs["attention_mask"][..., None]\nread = (hidden * mask).sum(1) / mask.sum(1)',
    "first": "read = hidden[:, 0]",
    "last": "read = hidden[:, -1]",
}
NO_STOCK_CLASS = (
    'No class of transformers has this head, so `pipeline("text-classification", …)` ends in an error with this folder.'
)
MOST_CLASSES = 60  # that the card lists
NO_MARKUP = str.maketrans({mark: f"\\{mark}" for mark in "\\`*_{}[]<>#|"})  # that a name may hold and Markdown obeys
FROM_FILES = "`rankwise train recipe.yaml`"
FROM_LISTS = (
    '`rankwise.train(rankwise.Recipe.load("recipe.yaml"), texts=texts, labels=labels)`, with the lists it learned from'
)


def model_card(
    recipe: Recipe,
    plan: Plan,
    base: Base,
    scores: RunScores,
    ladder: LadderFacts | None = None,
    task: str = SINGLE_LABEL,
    *,
    pairs: bool = False,
) -> str:
    """Markdown with front matter; every number comes from `scores`, the plan's ledger and the ladder.

    `pairs` says that what is classified are pairs of texts.
    """
    chosen = f" {ladder.verdict[0].upper()}{ladder.verdict[1:]}." if ladder and ladder.verdict else ""
    ledger, test, on = plan.ledger, scores.test, base.hub or plan.encoder.name
    cap = f"under a cap of {ledger.budget:,}" if ledger.budget else "without a cap"
    told = one_line(verdict(scores, counts_words=plan.counts_words)).translate(NO_MARKUP)
    shown = [name for name in test.names if name not in ("mcc", "calibration_error")]
    return visible(
        (files("rankwise.run") / "card.md")
        .read_text("utf-8")
        .format(
            front_matter=_front_matter(recipe, plan, base, scores),
            name=recipe.name,
            summary=recipe.summary or f"A text classifier on {on}.",
            verdict=f" On these rows it is {told}." if told else "",
            classes=_classes(scores.classes, task),
            trained=f"{ledger.trainable_parameters:,} of {ledger.total_parameters:,} parameters were trained, {cap}.{chosen}",
            confidence=100 * test.confidence_level,
            scores="\n".join(
                f"| {one_line(called(name)).translate(NO_MARKUP)} | {score.value:.4f} | {score.low:.4f} to {score.high:.4f} |"
                for name, score in ((name, test.named(name)) for name in shown)
                if score.value is not None
            ),
            how_scored=_how_scored(scores),
            example=(PAIR if pairs else SINGLE)["text_or_tuple"],
            loading=_loading(plan, base, task, PAIR if pairs else SINGLE),
            cleaning=", ".join(recipe.data.clean) or "no cleaning steps",
            windows="" if plan.counts_words else _windows(recipe, pairs=pairs),
            again=FROM_FILES if recipe.data.names_files else FROM_LISTS,
        )
    )


def _classes(names: Sequence[str], task: str) -> str:
    """The classes in the order of the logits, the first of many."""
    shown = [f"{number} {one_line(name).translate(NO_MARKUP)}" for number, name in enumerate(names[:MOST_CLASSES])]
    more = f" and {len(names) - MOST_CLASSES:,} more in `preprocessing.json`" if len(names) > MOST_CLASSES else ""
    if task == REGRESSION:
        number = f"One number, {one_line(names[0]).translate(NO_MARKUP)}, in the unit of its labels"
        return f"{number}; it is told within `bounds` in `preprocessing.json`, where there are any."
    several = " A text has each of them whose sigmoid reaches its threshold in `preprocessing.json`, or none."
    return f"{len(names):,} classes, in the order of the logits: {', '.join(shown)}{more}.{several * (task == MULTI_LABEL)}"


def _loading(plan: Plan, base: Base, task: str, example: Mapping[str, str]) -> str:
    """What to type to load the folder without rankwise, and to classify an example."""
    name = base.hub or plan.encoder.name
    if plan.counts_words:
        return COUNTED.format(**example)
    where = "  # type the path of its folder" if plan.adapter.is_apart and base.hub is None else ""
    revision = f'revision="{base.revision}", ' if base.revision else ""
    several = task == MULTI_LABEL
    by_task = {
        "problem": task_called(task, ()).problem_type,
        "squash": {MULTI_LABEL: "sigmoid()", LABEL_COLUMNS: 'split(list(about["columns"].values()), -1)'}.get(
            task, "squeeze(-1)" if task == REGRESSION else "softmax(-1)"
        ),
        "answer": {MULTI_LABEL: EACH_OF, LABEL_COLUMNS: OF_COLUMNS, ORDERED: MEDIAN, REGRESSION: A_NUMBER}.get(task, ONE_OF),
        "torch": "import torch\n" * several,
        "every": ", top_k=None" * (task not in (*ONE_LABEL, REGRESSION)),
    }
    if not plan.encoder.pools:
        loading = ADAPTER if plan.adapter.is_apart else WHOLE_MODEL
        return loading.format(base=name, revision=revision, where=where, **by_task, **example)
    imports, encoded, gives = "", "logits", "the same logits with one call"
    if plan.encoder.reads == "apart":
        read, encoded, gives = APART, "u, v", "`u` and `v` of texts that are not cut with one call"
        example, by_task["torch"] = {**example, "text_or_tuple": f"*{example['text_or_tuple']}"}, "import torch\n"
    else:
        read = HIDDEN.format(**example) + READ[plan.encoder.reads]
    alone = f"{NO_STOCK_CLASS} Sentence-transformers gives {gives}"
    encoder = "AutoModel.from_pretrained(folder, **settings)"
    if plan.adapter.is_apart:
        imports = "from peft import PeftModel\n"
        encoder = f'PeftModel.from_pretrained(AutoModel.from_pretrained("{name}", {revision}**settings), folder)'
        alone += ", where it finds the base by its name"
    how = {"imports": imports, "encoder": encoder, "where": where, "read": read, "encoded": encoded}
    return POOLED.format(one_call=f"{alone}:", **how, **by_task, **example)


def _windows(recipe: Recipe, *, pairs: bool) -> str:
    """What becomes of long texts."""
    if pairs:
        return "A pair of more tokens than `max_length` in `preprocessing.json` is cut, token by token off its longer text."
    windows, cut = recipe.data.windows, "Texts of more tokens than `max_length` in `preprocessing.json` are cut."
    if windows == 1:
        return cut
    return (
        f"A text of more tokens than `max_length` in `preprocessing.json` is read in up to {windows} overlapping windows, "
        "and its logits are the mean of theirs; without rankwise, average them so, or the text is cut."
    )


def _front_matter(recipe: Recipe, plan: Plan, base: Base, scores: RunScores) -> str:
    named = {"accuracy": ("accuracy", "Accuracy"), "macro_f1": ("f1", "Macro F1")}
    if not scores.test.per_class:
        named = {
            "pearson": ("pearsonr", "Pearson"),
            "spearman": ("spearmanr", "Spearman"),
            "mean_absolute_error": ("mae", "MAE"),
        }
    measured = [(kind, name, scores.test.named(score)) for score, (kind, name) in named.items()]
    metrics = [
        {"type": kind, "name": name, "value": round(interval.value, 4)}
        for kind, name, interval in measured
        if interval.value is not None
    ]
    source = recipe.data.source or (recipe.data.train.path if recipe.data.train else "data")
    dataset = source.removeprefix("hub:") if source.startswith("hub:") else source.rsplit("/", 1)[-1]
    result = {
        "task": {"type": "text-classification", "name": "Text Classification"},
        "dataset": {"name": dataset, "type": dataset, "split": "test"},
        "metrics": metrics,
    }
    matter = {
        **({"base_model": base.hub} if base.hub and not plan.counts_words else {}),
        "library_name": _library(plan),
        "pipeline_tag": "text-classification",
        "tags": ["rankwise", plan.facts().method, "text-classification"],
        "model-index": [{"name": recipe.name, "results": [result]}],
    }
    return dump(matter, wide=False).strip()


def _library(plan: Plan) -> str:
    if plan.counts_words:
        return "sklearn"
    return "sentence-transformers" if plan.encoder.pools else "peft" if plan.adapter.is_apart else "transformers"


def _how_scored(scores: RunScores) -> str:
    clean = scores.test_not_in_training
    if clean is None:
        return "Scored once, on rows that neither training nor the choice of a checkpoint saw."
    name = "accuracy" if scores.test.per_class else "pearson"
    score = clean.named(name).value
    return "Scored once, on rows set apart from training, but some of their texts are in training too" + (
        "." if score is None else f": without those, {called(name)} is {score:.4f}."
    )
