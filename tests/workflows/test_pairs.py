"""A run that classifies pairs of texts gives what transformers gives for the tokenizer's own pairs, wherever it is asked."""

from __future__ import annotations

import csv
import json

import numpy as np
import pandas
import pytest
import torch
from transformers import AutoTokenizer, pipeline

from conftest import FAMILIES, separable
from rankwise.data.batches import Padding, collate
from rankwise.data.pairs import pair_of, shown
from rankwise.data.tokens import token_spans, tokenize
from rankwise.encoders import families
from rankwise.errors import DataError
from rankwise.inference.gradients import CLOSE, CLOSE_SHARE
from rankwise.model.classifier import in_eval_mode, to_tensors
from rankwise.model.hidden_cache import HiddenStatesCache
from rankwise.report.sections.mistakes import parts_of
from rankwise.run.folder import Run
from rankwise.workflows.score_files import Form, evaluate_file, predict_rows, source_for
from rankwise.workflows.train import train
from rankwise.workflows.under_shift import shift_report

PAIRS = [
    ("the apple of iron near the rhine and some copper", "a pear"),
    ("zinc", "under the very quite long danube , with tin and lead and the fig !"),
    ("plum and fig", "plum and fig"),
    ("", "the nile"),
    ("the apple of iron and zinc near the pear", "under very quite some tin and over the don with silver lemon"),
]
CHOSEN = ["bert", "roberta", "distilbert"]
CLIMB = ["head.kind=pooled", "head.start=fitted"]
FAST = [family for family in FAMILIES if families.FAMILIES[family].fast_path]


@pytest.fixture(scope="module")
def pair_file(tmp_path_factory):
    """60 rows whose label is the class of the second text; the first is of any."""
    first, second = separable(60, seed=1), separable(60, seed=2)
    texts = first.texts[1:] + first.texts[:1]
    path = tmp_path_factory.mktemp("pairs") / "pairs.csv"
    rows = zip(texts, second.texts, second.labels, strict=True)
    path.write_text("\n".join(map(",".join, [("premise", "hypothesis", "label"), *rows])) + "\n", "utf-8")
    return path


@pytest.fixture
def pair_run(recipe_for, pair_file, tmp_path):
    """A run that is trained on pairs, with dotted overrides as strings."""

    def make(family="bert", *overrides, folder="run"):
        return train(recipe_for(family, f"data.source={pair_file}", *overrides), tmp_path / folder, progress=False)

    return make


def told(run, pairs=PAIRS, **how):
    """The probabilities (N, C) that a run gives pairs."""
    return np.array([list(prediction.probabilities.values()) for prediction in run.predict(pairs, **how)])


def of_transformers(run, pairs=PAIRS):
    """The same by transformers' tokenizer, called with both lists, and transformers' and peft's own forward pass."""
    tokenizer = AutoTokenizer.from_pretrained(run.folder)
    longest = run.preprocessing.max_length
    first, second = map(list, zip(*pairs, strict=True))
    inputs = tokenizer(first, second, return_tensors="pt", padding=True, truncation=True, max_length=longest)
    model = run.classifier().model
    with in_eval_mode(model):
        return model(**inputs).logits.softmax(-1).numpy(), inputs


@pytest.mark.parametrize("head", ["stock", "pooled"])
def test_every_familys_run_gives_what_transformers_gives_for_pairs(pair_run, family, head):
    run = pair_run(family, f"head.kind={head}")
    expected, inputs = of_transformers(run)
    assert (run.preprocessing.text, run.preprocessing.text_pair) == (("premise",), ("hypothesis",))
    assert int(inputs["attention_mask"].sum(1).max()) == run.preprocessing.max_length, "one of these pairs is cut"
    if FAMILIES[family].token_types:
        assert inputs["token_type_ids"].any()
    np.testing.assert_allclose(told(run), expected, atol=1e-5)
    np.testing.assert_array_equal(told(Run.load(run.folder)), told(run))
    assert run.facts.trained_parameters.planned == run.facts.trained_parameters.counted
    assert not np.allclose(told(run), told(run, [pair[::-1] for pair in PAIRS]), atol=1e-3), "which text is first matters"


@pytest.mark.parametrize("family", FAST)
def test_the_fast_path_adds_the_second_texts_segment(built_for, pair_file, family):
    built = built_for(family, f"data.source={pair_file}")
    inputs = to_tensors(collate(built.data.train.tokens, range(6), built.padding))
    classifier, types = built.classifier, FAMILIES[family].token_types
    assert ("token_type_ids" in inputs) == types
    with in_eval_mode(classifier.model):
        found = classifier.logits(inputs)
        torch.testing.assert_close(found, classifier.model(**inputs).logits, rtol=1e-4, atol=1e-5)
        if types:
            one_segment = {**inputs, "token_type_ids": torch.zeros_like(inputs["token_type_ids"])}
            assert float((classifier.logits(one_segment) - found).abs().max()) > 1e-3


def test_an_encoder_of_one_segment_gets_no_segment_ids_from_a_tokenizer_that_gives_two(recipe_for, pair_file, tmp_path):
    from conftest import save_tiny

    base = save_tiny("bert", tmp_path / "tiny-one-segment", type_vocab_size=1)
    run = train(recipe_for("bert", f"base={base}", f"data.source={pair_file}", "train.max_steps=2"), tmp_path / "run")
    assert "token_type_ids" not in AutoTokenizer.from_pretrained(run.folder).model_input_names
    expected, _ = of_transformers(run)
    np.testing.assert_allclose(told(run), expected, atol=1e-5)


@pytest.mark.parametrize("family", CHOSEN)
def test_a_pipeline_that_is_given_text_and_text_pair_gives_our_scores(pair_run, family):
    run = pair_run(family, "adapter.method=full")
    classify = pipeline("text-classification", str(run.folder), top_k=None, device="cpu")
    for first, second in PAIRS[:3]:
        found = {entry["label"]: entry["score"] for entry in classify({"text": first, "text_pair": second})}
        assert found == pytest.approx(run.predict([(first, second)])[0].probabilities, abs=1e-5)


@pytest.mark.parametrize("family", CHOSEN)
def test_an_export_takes_what_the_tokenizer_gives_of_pairs(pair_run, family):
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    run = pair_run(family)
    names = {given.name for given in run.exported().session.get_inputs()}
    assert ("token_type_ids" in names) == FAMILIES[family].token_types
    np.testing.assert_allclose(told(run, engine="onnx"), told(run), atol=1e-4)


@pytest.mark.parametrize("family", CHOSEN)
def test_a_merged_run_gives_the_same_for_pairs(pair_run, tmp_path, family):
    run = pair_run(family)
    classify = pipeline("text-classification", str(run.merge(tmp_path / "merged")), top_k=None, device="cpu")
    found = {entry["label"]: entry["score"] for entry in classify({"text": PAIRS[0][0], "text_pair": PAIRS[0][1]})}
    assert found == pytest.approx(run.predict(PAIRS[:1])[0].probabilities, abs=1e-4)


def test_states_kept_for_pairs_are_not_those_of_single_texts_with_the_same_tokens(fit_for, pair_file, tmp_path):
    with pair_file.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    single = tmp_path / "single.csv"
    lines = [f"{row['premise']} [SEP] {row['hypothesis']},{row['label']}" for row in rows]
    single.write_text("\n".join(["text,label", *lines, ""]), "utf-8")
    cache = HiddenStatesCache(tmp_path / "cache", limit_bytes=10**8)
    settings = ["data.max_length=64", "train.encoder_dropout=off", "adapter.allocate.policy=last-k", "adapter.allocate.k=1"]
    pairs = fit_for(*settings, f"data.source={pair_file}", cache=cache)
    texts = fit_for(*settings, f"data.source={single}", folder="other", cache=cache)
    again = fit_for(*settings, f"data.source={pair_file}", folder="again", cache=cache)
    assert np.array_equal(pairs.data.train.tokens.ids[:], texts.data.train.tokens.ids[:])
    reused = [[event.reused for event in each.heard("prefix")] for each in (pairs, texts, again)]
    assert reused == [[False, False], [False, False], [True, True]]


def test_a_run_that_counts_words_takes_pairs_and_reloads(recipe_for, pair_file, tmp_path):
    recipe = recipe_for("bert", f"data.source={pair_file}", *CLIMB, "rungs=[tfidf,features]").rung("tfidf")
    run = train(recipe, tmp_path / "run", progress=False)
    import skops.io

    alone = skops.io.load(run.folder / "words.skops").predict_proba([" ".join(pair) for pair in PAIRS])
    np.testing.assert_allclose(told(run), alone, atol=1e-6)


def test_python_predicts_tuples_and_a_frames_two_columns_and_refuses_single_texts(pair_run):
    run = pair_run()
    frame = pandas.DataFrame(PAIRS, columns=["premise", "hypothesis"])
    assert run.predict(frame) == run.predict(PAIRS) == run.predict(np.array(PAIRS))
    with pytest.raises(DataError, match=r"text 1 is a str \('alone'\); expected a pair of texts: \(first, second\)"):
        run.predict([PAIRS[0], "alone"])
    with pytest.raises(DataError, match=r"one row of a frame; type predict\(\[\(row\['premise'\], row\['hypothesis'\]\)\]\)"):
        run.predict(frame.iloc[0])


def test_lists_of_tuples_train_and_the_run_says_so(recipe_for, pair_file, tmp_path):
    with pair_file.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    pairs, labels = [(row["premise"], row["hypothesis"]) for row in rows], [row["label"] for row in rows]
    run = train(recipe_for("bert"), tmp_path / "run", texts=pairs, labels=labels, progress=False)
    assert (run.preprocessing.text, run.preprocessing.text_pair) == (("text",), ("text_pair",))
    expected, _ = of_transformers(run)
    np.testing.assert_allclose(told(run), expected, atol=1e-5)


def test_a_run_of_single_texts_refuses_pairs(run_for):
    with pytest.raises(DataError, match=r"text 0 is a tuple .*; expected a string"):
        run_for().predict([("a", "b")])
    with pytest.raises(DataError, match="text 0 holds a NUL character"):
        run_for().predict(["a\0b"])


def test_mistakes_and_shifts_show_both_texts(pair_run, pair_file):
    run = pair_run("bert", "train.max_steps=1")
    assert all(" ⇄ " in mistake.text for mistake in run.scores.test.mistakes)
    source, _ = source_for(run.recipe.data.model_copy(update={"source": str(pair_file)}), labelled=True)
    table, split, evaluation = evaluate_file(run, source, run.recipe.data)
    report = shift_report(run, table, split, evaluation)
    assert " ⇄ " in report.text
    assert all(" ⇄ " in kind.example for kind in report.kinds)
    written = json.dumps([kind.example for kind in report.kinds]) + (run.folder / "scores.json").read_text("utf-8")
    assert "\\u0000" not in written


def test_the_command_line_labels_pairs_and_says_what_is_missing(pair_run, pair_file, typed, tmp_path):
    run = pair_run()
    first, second = PAIRS[0]
    code, out, _ = typed("predict", run.folder, "--text", first, "--text-pair", second)
    expected = run.predict(PAIRS[:1])[0]
    assert (code, out.split()[:2]) == (0, [expected.label, f"{expected.score:.1%}"])
    assert f"{first} ⇄ {second}" in out

    code, _, error = typed("predict", run.folder, "--text", first)
    assert (code, error.count("\n")) == (2, 1)
    assert "this run classifies pairs of texts: type --text FIRST --text-pair SECOND" in error
    code, _, error = typed("predict", run.folder, "--text", first, "--text-pair", second, "--text-pair", second)
    assert (code, "1 --text and 2 --text-pair" in error) == (2, True)
    code, _, error = typed("predict", run.folder, "-")
    assert (code, "give a file with both in columns" in error) == (2, True)

    code, out, _ = typed("predict", run.folder, pair_file)
    lines = list(csv.DictReader(out.splitlines()))
    assert (code, list(lines[0]), len(lines)) == (0, ["premise", "hypothesis", "label", "predicted_label", "score"], 60)
    pairs = [(line["premise"], line["hypothesis"]) for line in lines]
    assert [line["predicted_label"] for line in lines] == [found.label for found in run.predict(pairs)]
    code, out, _ = typed("evaluate", run.folder, pair_file, "--json")
    assert (code, json.loads(out)["rows"]) == (0, 60)


def test_files_of_other_columns_are_read_where_they_are_named_and_refused_where_they_are_not(pair_run, typed, tmp_path):
    run = pair_run()
    other, single = tmp_path / "other.csv", tmp_path / "single.csv"
    other.write_text("one,two\nan apple,zinc\nthe nile,tin\n", "utf-8")
    single.write_text("text\nan apple\nzinc\n", "utf-8")
    code, out, _ = typed("predict", run.folder, other, "--text-column", "one", "--text-pair-column", "two")
    expected = [found.label for found in run.predict([("an apple", "zinc"), ("the nile", "tin")])]
    assert (code, [line["label"] for line in csv.DictReader(out.splitlines())]) == (0, expected)
    code, _, error = typed("predict", run.folder, single)
    assert (code, error.count("\n")) == (2, 1)
    assert "this run classifies pairs of texts, and of text only text would be read; name both: --set data.text=" in error


def test_a_file_of_pairs_is_refused_by_a_run_of_single_texts_with_what_reads_it(run_for, pair_file, typed):
    code, _, error = typed("predict", run_for().folder, pair_file)
    assert (code, error.count("\n")) == (2, 1)
    assert "this run classifies single texts; to read them joined, type --set 'data.text=[premise, hypothesis]'" in error
    assert typed("predict", run_for().folder, pair_file, "--set", "data.text=[premise, hypothesis]")[0] == 0


def test_suspects_are_written_with_both_texts(pair_file, typed, tmp_path):
    out = tmp_path / "suspects.csv"
    code, printed, _ = typed("data", pair_file, "--suspects", "--out", out)
    lines = list(csv.DictReader(out.read_text("utf-8").splitlines()))
    with pair_file.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert (code, list(lines[0])[-2:], " ⇄ " in printed) == (0, ["text", "text_pair"], True)
    for line in lines:
        row = rows[int(line["row"]) - 1]
        assert (line["text"], line["text_pair"], line["label"]) == (row["premise"], row["hypothesis"], row["label"])


def test_a_climb_trains_on_pairs_and_the_card_shows_one(recipe_for, pair_file, tmp_path):
    changes = [*CLIMB, "rungs=[features,all]", "data.windows=4"]
    run = train(recipe_for("bert", f"data.source={pair_file}", *changes), tmp_path / "run", progress=False)
    expected, _ = of_transformers(run)
    np.testing.assert_allclose(told(run), expected, atol=1e-5)
    card = (run.folder / "README.md").read_text("utf-8")
    assert 'run.predict([("The first text of a pair.", "The second text.")])' in card
    assert "is cut, token by token off its longer text" in card
    assert Padding.of(AutoTokenizer.from_pretrained(run.folder)) == run.predictor.padding


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("family", CHOSEN)
def test_tokens_of_a_pair_are_found_where_they_stand(pair_run, family, side):
    run = pair_run(family, "data.max_length=16", f"data.truncation_side={side}")
    tokenizer = run.explainer.tokenizer
    for pair in map(pair_of, *zip(*PAIRS, strict=True)):
        ((ids, _),) = tokenize(tokenizer, [pair], max_length=16)
        (spans,) = token_spans(tokenizer, pair, max_length=16)
        found = [(number, pair[slice(*span)]) for number, span in zip(ids.tolist(), spans, strict=True) if span]
        assert all(number in tokenizer([word])["input_ids"][0] for number, word in found)
        assert len(found) == min(16 - special(tokenizer), len(pair.replace("\0", " ").split()))


def special(tokenizer):
    """How many tokens of a pair are special."""
    return len(tokenizer([""], [""])["input_ids"][0])


@pytest.mark.parametrize("family", CHOSEN)
def test_the_words_of_both_texts_add_up_to_the_margin_of_a_pair(pair_run, family):
    run = pair_run(family)
    adds_up(run, PAIRS)
    of_frame = run.explain(pandas.DataFrame(PAIRS, columns=["premise", "hypothesis"]))
    assert [found.words for found in of_frame] == [found.words for found in run.explain(PAIRS)]


def test_the_words_of_a_pair_are_told_where_words_are_counted(recipe_for, pair_file, tmp_path):
    recipe = recipe_for("bert", f"data.source={pair_file}", *CLIMB, "rungs=[tfidf,features]").rung("tfidf")
    adds_up(train(recipe, tmp_path / "run", progress=False), PAIRS)


def adds_up(run, pairs):
    """Every word of both texts is told where it stands, and all scores make the margin, as predictions have it."""
    for pair, prediction, found in zip(pairs, run.predict(pairs), run.explain(pairs), strict=True):
        assert [word.word for word in found.words if word.side == 0] == pair[0].split()
        assert [word.word for word in found.words if word.side == 1] == pair[1].split()
        assert all(pair[word.side][word.start : word.end] == word.word for word in found.words)
        assert found.label == prediction.label
        label = run.preprocessing.classes.index(found.label)
        logits = np.log(list(prediction.probabilities.values()))
        assert found.margin == pytest.approx(logits[label] - np.delete(logits, label).mean(), abs=1e-4)
        assert abs(found.rest) <= max(CLOSE, CLOSE_SHARE * abs(found.margin - found.hidden_margin)) + 1e-6


def test_the_words_of_pairs_are_written_and_marked_where_they_stand(pair_run):
    run = pair_run("bert", "data.clean=[whitespace]")
    spec = run.recipe.data
    _, rows = predict_rows(run, source_for(spec, labelled=True)[0], spec, Form(words=True, nested=True))
    for row in rows:
        texts = (row["premise"], row["hypothesis"])
        assert all(texts[side][start:end] == word for word, start, end, _, side in row["words"])
        assert {side for *_, side in row["words"]} == {0, 1}
    mistake = run.scores.test.mistakes[0]
    parts = parts_of(run, mistake)
    assert shown("\0") in mistake.text
    assert "".join(part.text for part in parts) == mistake.text
    assert any(part.score for part in parts)
