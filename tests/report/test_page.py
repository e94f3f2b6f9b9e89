"""Runs → a page: it holds what it shows, as pictures, as words and as CSV, whatever the data says."""

from __future__ import annotations

import csv
import html
import importlib
import io
import json
import re
import sys
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from disks import small_disk
from pages import checked, downloads, section

import rankwise.report
from conftest import as_if, separable
from rankwise.errors import MissingExtra, RunError, StorageError
from rankwise.report.blocks import Column, Paragraph, Report, Section, Table
from rankwise.report.page import GENERATOR, render, write, write_figures
from rankwise.report.runs import report_of, without_texts
from rankwise.report.words import in_words, shown
from rankwise.run.folder import Run
from rankwise.stats.intervals import Interval
from rankwise.stats.scores import Mistake
from rankwise.workflows.decide import Wish, decide
from rankwise.workflows.train import train

SEEDS = ([], ["train.seed=1"])
FITTED = ("head.kind=pooled", "head.start=fitted")  # which rungs need


@pytest.fixture(scope="session")
def page(run_for):
    return checked(render(report_of([run_for("bert")])))


def tooltips(picture) -> list[str]:
    return [node.text for node in picture.all("title")][1:]  # the first names the picture


def changed(run, *, evaluated_at=None, **facts):
    """The run with other facts, evaluated once after so many updates."""
    history = run.scores.history
    if evaluated_at is not None:
        history = (replace(history[-1], step=evaluated_at, epoch=0.0),)
    return as_if(run, scores=replace(run.scores, history=history), facts=replace(run.facts, **facts))


# ------------------------------------------------------------------------------------------------------------- one run


def test_a_run_is_told_in_eight_sections(page):
    assert [node.text for node in page.all("h2")] == [
        "Scores",
        "Budget",
        "Training",
        "Data",
        "Where it is right and wrong",
        "When to answer",
        "Under shift",
        "Where it came from",
    ]
    links = [node.text for node in page.all("nav")[0].all("a")]
    assert links == [node.text for node in page.all("h2")]


def test_a_decision_is_told_with_its_bound_and_the_reliability_after_it(run_for, copy_of):
    folder = copy_of(run_for("bert"))
    undecided = section(checked(render(report_of([run_for("bert")]))), "decision-section").text
    assert "--max-error 5%" in undecided
    made = decide(Run.load(folder), Wish(coverage=0.5))
    report = report_of([Run.load(folder)])
    told = section(checked(render(report)), "decision-section").text
    assert "50 % of the texts answered" in told
    assert "12 validation rows" in told
    tables = {figure.table.name: figure.table for figure in report.figures()}
    assert sum(row[2] for row in tables["reliability-calibrated"].rows) == made.verified.rows
    last = tables["risk"].rows[-1]
    assert last[0] == 100.0
    assert last[1].value == pytest.approx(1 - run_for("bert").scores.test.accuracy.value)


def test_mistakes_against_texts_answered_are_a_mean_over_seeds(run_for):
    report = report_of([run_for("bert", *changes) for changes in SEEDS])
    risk = next(figure for figure in report.figures() if figure.table.name == "risk")
    errors = [1 - run_for("bert", *changes).scores.test.accuracy.value for changes in SEEDS]
    assert risk.table.rows[-1][1].value == pytest.approx(np.mean(errors))


def test_a_run_without_its_answers_row_by_row_has_a_report_all_the_same(run_for, copy_of):
    folder = copy_of(run_for("bert"))
    (folder / "test.parquet").unlink()
    run = replace(run_for("bert"), folder=folder)
    assert len(checked(render(report_of([run]))).all("h2")) == 8


def test_a_running_mean_of_the_weights_is_told_where_training_is(page, run_for):
    told = "Validation scores are those of a running mean of the weights"
    averaged = checked(render(report_of([run_for("bert", "train.average=25%", "train.select_by=log_loss")])))
    assert told in section(averaged, "training-section").text
    assert "the best by log-loss" in section(averaged, "training-section").text
    assert told not in section(page, "training-section").text


def test_the_first_numbers_are_the_runs(page, run_for):
    run = run_for("bert")
    first = {node.all("dt")[0].text: node.all("dd")[0].text for node in page.all("header")[0].all("div")}
    assert first["accuracy"] == f"{100 * run.scores.test.accuracy.value:.1f} %"
    assert first["trained parameters"] == f"{run.plan_facts.trainable_parameters:,}"
    assert set(first) >= {"accuracy", "ahead of TF-IDF", "trained parameters", "training time"}


def test_scores_come_with_intervals_beside_the_baselines(page, run_for):
    run = run_for("bert")
    rows = downloads(page)["scores.csv"]
    assert [row["system"] for row in rows] == ["this run", *run.scores.baselines]
    for key in ("accuracy", "macro_f1", "mcc", "log_loss", "calibration_error"):
        interval = getattr(run.scores.test, key)
        shown = [float(rows[0][name]) for name in (key, f"{key}_low", f"{key}_high")]
        assert shown == [interval.value, interval.low, interval.high]


def test_the_ledger_is_there_entry_by_entry_and_drawn_by_layer_and_map(page, run_for):
    run = run_for("bert")
    rows = downloads(page)["ledger.csv"]
    assert sum(int(row["parameters"]) for row in rows) == run.plan_facts.trainable_parameters
    assert sorted(int(row["rank"]) for row in rows if row["rank"]) == sorted(run.plan_facts.ranks.values())
    picture = next(node for node in section(page, "budget-section").all("svg"))
    hints = tooltips(picture)
    assert len(hints) == run.plan_facts.layers * len(run.plan_facts.kinds)
    assert sum("rank 2" in hint for hint in hints) == len(run.plan_facts.ranks)


def test_the_curves_hold_every_evaluation_and_every_logged_loss(page, run_for):
    run = run_for("bert")
    history = run.scores.history
    accuracy = downloads(page)["accuracy-curve.csv"]
    assert [int(row["update"]) for row in accuracy] == [entry.step for entry in history]
    assert [float(row["validation"]) for row in accuracy] == [entry.accuracy for entry in history]
    assert [float(row["epoch"]) for row in accuracy] == pytest.approx([entry.epoch for entry in history])
    loss = downloads(page)["loss.csv"]
    events = [json.loads(line) for line in (run.folder / "events.jsonl").read_text("utf-8").splitlines()]
    logged = {event["step"]: event["loss"] for event in events if event["event"] == "step"}
    assert {int(row["update"]): float(row["training"]) for row in loss if row["training"]} == logged
    assert f"those of update {run.facts.best.step}" in section(page, "training-section").text


def test_token_lengths_are_those_of_the_training_texts(page, run_for):
    run = run_for("bert")
    rows = downloads(page)["token-lengths.csv"]
    assert sum(int(row["texts"]) for row in rows) == run.facts.rows.train
    said = section(page, "data-section").text
    assert f"max length {run.preprocessing.max_length}" in said
    assert "12 test rows" in said


def test_scripts_of_the_training_texts_are_told_where_latin_is_not_the_only_one(page, run_for):
    assert "mostly in" not in section(page, "data-section").text
    both = checked(render(report_of([changed(run_for("bert"), scripts={"Cyrillic": 30, "Latin": 10})])))
    assert "Training texts are mostly in Cyrillic (75.0%) and Latin (25.0%)." in section(both, "data-section").text


def test_mistakes_classes_and_confusion_are_the_test_rows(page, run_for):
    run = run_for("bert")
    files, test = downloads(page), run.scores.test
    assert [[int(row[name]) for name in run.scores.classes] for row in files["confusion.csv"]] == list(
        map(list, test.confusion)
    )
    assert [int(row["rows"]) for row in files["classes.csv"]] == [scores.support for scores in test.per_class]
    assert sum(int(row["rows"]) for row in files["reliability.csv"]) == test.rows
    for mistake in test.mistakes:
        assert mistake.text in page.text


def test_it_says_how_to_make_it_again_and_what_made_it(page, run_for):
    said = section(page, "origin-section").text
    run = run_for("bert")
    assert f"rankwise train {run.folder.name}/recipe.yaml" in said
    assert run.facts.data_sha256 in said
    assert "learning_rate: 0.01" in said  # recipe.yaml, whole
    assert {row["what"] for row in downloads(page)["versions.csv"]} >= {"python", "torch", "rankwise"}


def test_without_shift_it_says_how_to_measure_it(page):
    assert "--shift" in section(page, "shift-section").text


def test_shift_is_shown_where_it_was_measured(run_for, copy_of):
    run = run_for("bert")
    folder = copy_of(run)
    interval = {"value": 0.9, "low": 0.8, "high": 0.95}
    kinds = [("original", 0.0), ("typos", 0.125), ("shuffled_sentences", 0.25)]
    report = {
        "rows": 12,
        "source": "test.csv",
        "confidence_level": 0.95,
        "text": "A text",
        "kinds": [
            {
                "kind": kind,
                "rows": 12,
                "changed": 6,
                "accuracy": interval,
                "macro_f1": interval,
                "drop": {"value": drop, "low": drop - 0.1, "high": drop + 0.1},
                "example": f"A {kind} text",
            }
            for kind, drop in kinds
        ],
    }
    (folder / "shift.json").write_text(json.dumps(report), "utf-8")
    root = checked(render(report_of([type(run).load(folder)])))
    assert "shuffled sentences costs most: 25.0 points" in section(root, "shift-section").text
    rows = downloads(root)["shift.csv"]
    assert [row["drop"] for row in rows] == ["", "0.125", "0.25"]
    assert [row["changed"] for row in rows] == ["", "0.5", "0.5"]
    assert rows[2]["example"] == "A shuffled_sentences text"


HOSTILE = '</td><script>alert(1)</script> "quoted" & =cmd|\' /C calc\'!A0, "x"\nsecond line'


def test_whatever_the_data_says_stays_text(run_for):
    run = run_for("bert")
    first, *others = run.scores.test.per_class
    test = replace(
        run.scores.test,
        per_class=(replace(first, name=HOSTILE), *others),
        mistakes=(Mistake(1, HOSTILE * 50, HOSTILE, "b", 0.9), Mistake(2, HOSTILE, "b", HOSTILE, 0.8)),
    )
    scores = replace(run.scores, classes=(HOSTILE, *run.scores.classes[1:]), test=test)
    recipe = run.recipe.model_copy(update={"name": HOSTILE, "summary": HOSTILE})
    root = checked(render(report_of([as_if(run, scores=scores, recipe=recipe)])))
    assert root.all("h1")[0].text == " ".join(HOSTILE.split())
    assert downloads(root)["mistakes.csv"][1]["text"] == HOSTILE
    assert downloads(root)["classes.csv"][0]["class"] == HOSTILE


STEERING = "\x1b[31mred\x07 \u202egnol\x9b2J"


def test_nothing_on_the_page_is_invisible_or_turns_the_line_round(run_for):
    run = run_for("bert")
    first, *others = run.scores.test.per_class
    mistakes = (Mistake(1, STEERING, STEERING, "b", 0.9),)
    test = replace(run.scores.test, per_class=(replace(first, name=STEERING), *others), mistakes=mistakes)
    scores = replace(run.scores, classes=(STEERING, *run.scores.classes[1:]), test=test)
    recipe = run.recipe.model_copy(update={"name": f"mine {STEERING}", "summary": STEERING})
    text = render(report_of([as_if(run, scores=scores, recipe=recipe)]))
    assert not {"\x07", "\x1b", "\u202e", "\x9b"} & set(text)
    assert "\\x1b[31mred\\x07 \\u202egnol\\x9b2J" in text
    assert downloads(checked(text))["mistakes.csv"][0]["text"] == STEERING, "what is downloaded is to the letter"


def test_words_that_pulled_toward_the_wrong_class_are_marked_where_it_is_asked_for(page, run_for):
    run = run_for("bert")
    made = render(report_of([run], explain=True))
    quotes = checked(made).all("blockquote")
    quoted = [re.sub("<.*?>", "", quote) for quote in re.findall("<blockquote>(.*?)</blockquote>", made, re.DOTALL)]
    mistakes = run.scores.test.mistakes
    assert [html.unescape(text).strip() for text in quoted] == [mistake.text for mistake in mistakes]
    for mistake, quote in zip(mistakes, quotes, strict=True):
        (found,) = run.explain([mistake.text], label=mistake.predicted, against=mistake.truth)
        marks = {(mark.text, mark.attributes["title"]): mark.attributes["class"] for mark in quote.all("mark")}
        strongest = found.strongest[0]
        direction = "toward" if strongest.score > 0 else "away"
        assert marks[strongest.word, f"{strongest.score:+.2f}"] == f"{direction} strong"
    assert not page.all("mark")


def test_a_page_without_texts_has_mistakes_by_their_rows(run_for):
    run = run_for("bert")
    secret = "a customer's sentence"
    test = replace(run.scores.test, mistakes=(Mistake(17, secret, "a", "b", 0.9),))
    shown = report_of([as_if(run, scores=replace(run.scores, test=test))])
    assert secret in html.unescape(render(shown))
    page = render(without_texts(shown))
    assert secret not in html.unescape(page)
    assert downloads(checked(page))["mistakes.csv"] == [
        {"row": "17", "truth": "a", "predicted": "b", "confidence": "0.9", "text": ""}
    ]


@pytest.mark.parametrize(
    "override",
    [
        *(f"adapter.method={method}" for method in ("full", "head", "bias", "dora", "vera", "ia3", "prefix", "adalora")),
        "evaluate.baselines=false",
        "train.evaluate_every=2",
        "train.log_every=1000",
        "train.select_by=worst_shift",
    ],
)
def test_every_kind_of_run_has_its_page(run_for, override):
    run = run_for("bert", override)
    root = checked(render(report_of([run])))
    parts = {row["part"]: int(row["parameters"]) for row in downloads(root)["budget.csv"]}
    assert parts["total trained"] == run.plan_facts.trainable_parameters


def test_pruned_ranks_are_shown_as_they_were_left(run_for):
    run = run_for("bert", "adapter.method=adalora")
    budget = section(checked(render(report_of([run]))), "budget-section")
    hints = tooltips(budget.all("svg")[0])
    assert Counter(re.findall(r"rank (\d+)", " ".join(hints))) == Counter(map(str, run.facts.ranks.values()))
    assert "pruning left" in budget.text


def test_of_many_classes_the_commonest_mistakes_are_listed(run_for):
    run, many = run_for("bert"), 80
    classes = tuple(f"class {number}" for number in range(many))
    confusion = 9 * np.eye(many, dtype=int)
    confusion[3, 7], confusion[7, 3] = 5, 2
    per_class = tuple(replace(run.scores.test.per_class[0], name=name) for name in classes)
    test = replace(run.scores.test, confusion=tuple(map(tuple, confusion.tolist())), per_class=per_class)
    scores = replace(run.scores, classes=classes, test=test)
    root = checked(render(report_of([as_if(run, scores=scores)])))
    pairs = [tuple(row.values()) for row in downloads(root)["confusions.csv"]]
    assert pairs == [("class 3", "class 7", "5", str(5 / 14)), ("class 7", "class 3", "2", str(2 / 11))]
    assert "confusion.csv" not in downloads(root)


def test_a_run_that_ended_soon_after_its_start_has_its_page(run_for):
    """One update of 1,000,000 rows is epoch 0.000, as the history rounds it."""
    run = run_for("bert")
    rows = 10_000 * run.recipe.train.batch_size
    soon = changed(run, evaluated_at=1, steps=1, rows=replace(run.facts.rows, train=rows))
    assert float(downloads(checked(render(report_of([soon]))))["accuracy-curve.csv"][0]["epoch"]) == 1 / 10_000


# ---------------------------------------------------------------------------------------------------------- several runs


def test_seeds_may_end_after_other_numbers_of_updates(run_for):
    first, second = (run_for("bert", *seed) for seed in SEEDS)
    runs = [changed(first, evaluated_at=300, steps=300, stopped_early=True), changed(second, evaluated_at=343, steps=343)]
    root = checked(render(report_of(runs)))
    assert section(root, "training-section").text.count("300 to 343 updates of 8 rows, 1 of 2 stopped early") == 1
    assert [row["update"] for row in downloads(root)["accuracy-curve.csv"]] == ["300", "343"]


def test_seeds_of_one_recipe_are_one_report(run_for):
    runs = [run_for("bert", *seed) for seed in SEEDS]
    root = checked(render(report_of(runs)))
    assert root.all("h1")[0].text == "tiny"
    assert [row["seed"] for row in downloads(root)["runs.csv"]] == ["0", "1"]
    own = downloads(root)["scores.csv"][0]
    values = [run.scores.test.log_loss.value for run in runs]
    assert float(own["log_loss"]) == pytest.approx(sum(values) / 2)
    assert float(own["log_loss_low"]) < min(values) < max(values) < float(own["log_loss_high"])
    one, other = (run.scores.test.confusion for run in runs)
    total = [[a + b for a, b in zip(*rows, strict=True)] for rows in zip(one, other, strict=True)]
    assert [[int(row[name]) for name in runs[0].scores.classes] for row in downloads(root)["confusion.csv"]] == total
    assert {"validation", "validation_low", "validation_high"} <= set(downloads(root)["loss.csv"][0])
    assert section(root, "origin-section").text.count("rankwise train") == 2


def test_recipes_stand_beside_each_other_and_then_alone(run_for):
    runs = [*(run_for("bert", *seed) for seed in SEEDS), run_for("bert", "adapter.rank=1")]
    root = checked(render(report_of(runs)))
    headings = [node.text for node in root.all("h2")]
    assert headings == [
        "Leaderboard",
        "Which is better",
        "Cost and quality",
        "What more buys",
        "On the way",
        "What differs",
        "tiny rank=2",
        "tiny rank=1",
    ]
    files = downloads(root)
    assert {row["recipe"]: row["seeds"] for row in files["leaderboard.csv"]} == {"tiny rank=2": "2", "tiny rank=1": "1"}
    assert [len(files[f"compare-{name}.csv"]) for name in ("time", "parameters", "loss", "accuracy")] == [2] * 4
    assert files["settings.csv"] == [{"key": "adapter.rank", "tiny rank=2": "2", "tiny rank=1": "1"}]
    assert [row["on_front"] for row in files["accuracy-against-parameters.csv"]].count("yes") >= 1
    assert [row["seed"] for row in files["mcnemar.csv"]] == ["0"]  # which both have
    assert {"1-scores.csv", "2-scores.csv", "1-confusion.csv", "2-confusion.csv"} <= set(files)


def test_what_made_no_update_has_no_curve(run_for):
    words, head = (run_for("bert", f"rungs=[{rung}]", *FITTED) for rung in ("tfidf", "features"))
    still, moved = (downloads(checked(render(report_of(runs)))) for runs in ([words, head], [words, run_for("bert")]))
    assert "validation-loss.csv" not in still
    assert list(moved["validation-loss.csv"][0]) == ["epoch", "tiny method=lora kind=stock start=identity"]


def test_a_run_that_counts_words_is_not_held_against_itself_at_the_top(run_for):
    root = checked(render(report_of([run_for("bert", "rungs=[tfidf]", *FITTED)])))
    top = root.all("header")[0].text
    assert "ahead of one answer" in top
    assert "TF-IDF" not in top


def test_recipes_on_other_rows_are_shown_with_the_reason_why_no_verdict_is(run_for):
    runs = [run_for("bert"), run_for("bert", "data.split.seed=7")]
    root = checked(render(report_of(runs)))
    assert "can't be set against each other" in section(root, "verdicts-section").text
    assert "highest accuracy" not in root.all("header")[0].text
    assert "accuracy-against-parameters.csv" not in downloads(root)
    assert {row["test_rows"] for row in downloads(root)["leaderboard.csv"]} == {"12"}


def test_a_run_on_lists_says_how_it_is_made_again(recipe_for, tmp_path):
    rows = separable(60, seed=1)
    quick = recipe_for("bert", "train.max_steps=1").with_overrides(["data.source=null"])
    run = train(quick, tmp_path / "run", texts=rows.texts, labels=rows.labels)
    page = checked(render(report_of([run])))
    assert "texts=texts, labels=labels)" in section(page, "origin-section").text
    assert "rankwise train " not in section(page, "origin-section").text
    assert "texts=texts, labels=labels)" in (run.folder / "README.md").read_text("utf-8")


# --------------------------------------------------------------------------------------------------------------- blocks


def test_csv_holds_numbers_as_they_were_computed_and_intervals_in_three_columns():
    table = Table(
        "t",
        "T",
        (Column("name", "n"), Column("score", "s", "share"), Column("rows", "r", "count")),
        (('a "b", c', Interval(0.123456789, 0.1, None), 1000), ("d", Interval(None, None, None), None)),
    )
    rows = list(csv.reader(io.StringIO(table.as_csv(), newline="")))
    assert rows == [
        ["name", "score", "score_low", "score_high", "rows"],
        ['a "b", c', "0.123456789", "0.1", "", "1000"],
        ["d", "", "", "", ""],
    ]


@pytest.mark.parametrize(
    ("value", "kind", "words"),
    [
        (Interval(0.895, 0.888, 0.902), "share", "89.5\u00a0% [88.8, 90.2]"),
        (Interval(0.044, -0.011, 0.1), "signed", "+4.4\u00a0points [-1.1, +10.0]"),
        (Interval(None, None, None), "share", "n/a\u00a0%"),
        (333_316, "count", "333,316"),
        (0.3177, "number", "0.318"),
        (0.0, "seconds", "0 s"),
        (4.21, "seconds", "4.2 s"),
        (59.7, "seconds", "1 min 0 s"),
        (3725, "seconds", "1 h 2 min"),
        (0.000703552, "rate", "0.000704"),
        ("text", "text", "text"),
    ],
)
def test_values_in_words(value, kind, words):
    assert in_words(value, kind) == words


def test_nothing_is_shown_as_nothing_and_an_undefined_score_as_such():
    assert shown(None, "share") == ""
    assert shown(Interval(None, None, None), "share") == "n/a"


# ---------------------------------------------------------------------------------------------------------------- files

EMPTY = Report("t", "l", (), (Section("s", "S", (Paragraph("p"),)),))


def test_a_page_replaces_an_older_report_and_nothing_else(tmp_path):
    out = tmp_path / "report.html"
    assert write(EMPTY, out) == out.stat().st_size
    write(EMPTY, out)
    (tmp_path / "mine.html").write_text("<p>mine", "utf-8")
    with pytest.raises(RunError, match=r"no report of rankwise.*another --out"):
        write(EMPTY, tmp_path / "mine.html")
    assert (tmp_path / "mine.html").read_text("utf-8") == "<p>mine"


@pytest.mark.parametrize(("where", "said"), [("missing/report.html", "no such folder"), (".", "is a folder; give a file")])
def test_a_page_needs_a_place(tmp_path, where, said):
    with pytest.raises(RunError, match=said):
        write(EMPTY, tmp_path / where)


def test_figures_are_written_three_ways(run_for, tmp_path):
    report = report_of([run_for("bert")])
    written = write_figures(report, tmp_path / "figures")
    names = {path.name for path in written}
    assert names == {f"{figure.table.name}.{ending}" for figure in report.figures() for ending in ("svg", "png", "csv")}
    assert len(names) == 3 * len(report.figures()) >= 24
    assert all(path.stat().st_size > 100 or path.suffix == ".csv" for path in written)
    assert (tmp_path / "figures" / "ledger.png").read_bytes().startswith(b"\x89PNG")
    for place in ("ledger.csv", "ledger.csv/below"):
        with pytest.raises(RunError, match=r"can't be a folder.*give another"):
            write_figures(report, tmp_path / "figures" / place)


@pytest.mark.parametrize("library", ["jinja2", "matplotlib"])
def test_what_is_not_installed_is_named_with_its_extra(monkeypatch, library):
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(MissingExtra, match=rf"'{library}' is not installed.*\[report\]"):
        importlib.reload(rankwise.report)


def test_the_same_runs_make_the_same_page(run_for):
    first, second = (render(report_of([run_for("bert")])) for _ in range(2))
    assert first == second


def test_a_page_that_does_not_fit_on_the_disk_leaves_the_one_before_as_it_was(run_for, tmp_path):
    before = f'<meta name="generator" content="{GENERATOR}">'
    with small_disk(tmp_path / "disk", 32) as disk:
        (disk / "report.html").write_text(before, "utf-8")
        with pytest.raises(StorageError, match=r"report\.html: the disk is full .*; free room there, or give another: --out"):
            write(report_of([run_for("bert")]), disk / "report.html")
        assert [(path.name, path.read_text("utf-8")) for path in disk.iterdir()] == [("report.html", before)]
