"""What words are said to add to a label's margin adds up to it, is found where it was planted, and goes when that goes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from conftest import CLASSES, FILLER, WORDS, Rows
from rankwise.data.batches import collate
from rankwise.data.clean import Preprocessing
from rankwise.data.spans import word_spans
from rankwise.data.tokens import token_spans, tokenize
from rankwise.errors import DataError
from rankwise.inference.explain import words_of_pieces
from rankwise.inference.gradients import CLOSE, CLOSE_SHARE
from rankwise.inference.word_weights import WeightExplainer, places_of
from rankwise.inference.words import Words, WordsPredictor
from rankwise.model.classifier import to_tensors

TEXT = "The  apple, near &amp; under the iron of some"
LONG = " ".join([*FILLER, "iron", *FILLER, *FILLER, "apple", *FILLER])
LEARNING = (
    "adapter.method=full",
    "head.kind=pooled",
    "train.epochs=20",
    "train.learning_rate=3e-3",
    "train.evaluate_every=end",
)
DECIDED = ("fruit", "metal")  # by a word that is planted
METHODS = {
    "a frozen encoder": ("adapter.method=head", "head.kind=pooled", "head.start=fitted"),
    "a pooled head": ("head.kind=pooled",),
    "a slim head": ("head.kind=slim",),
    "a prefix": ("adapter.method=prefix", "adapter.virtual_tokens=3"),
    "a prefix, slim head": ("adapter.method=prefix", "adapter.virtual_tokens=3", "head.kind=slim"),
    "every weight": ("adapter.method=full",),
    "dora": ("adapter.method=dora",),
    "ia3": ("adapter.method=ia3",),
    "windows": ("data.windows=6", "data.max_length=12"),
    "one window that cuts": ("data.max_length=12",),
    "one window that cuts the start": ("data.max_length=12", "data.truncation_side=left"),
}


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    """The overrides with which a tiny encoder learns texts of fillers with one word that decides, or with none: rivers.

    A third of the fillers are masked, for to encoders that were pre-trained a mask says nothing either.
    """
    rng, texts = np.random.default_rng(5), []
    labels = [CLASSES[row % len(CLASSES)] for row in range(300)]
    for row, label in enumerate(labels):
        words = rng.choice([*FILLER, *["[MASK]"] * (len(FILLER) // 2)], int(rng.integers(3, 10))).tolist()
        if label in DECIDED:
            words.insert(int(rng.integers(len(words) + 1)), str(rng.choice(WORDS[label])))
        texts.append(" ".join([*words, f"row{row}"]))
    path = Rows(texts, labels).write(tmp_path_factory.mktemp("planted") / "planted.csv")
    return (f"data.source={path}", *LEARNING)


@pytest.fixture(scope="module")
def learnt(run_for, planted):
    """A run that is right, of texts in which one word says the class."""
    run = run_for("bert", *planted)
    assert run.scores.test.accuracy.value == 1
    return run


def scores_of(explanation):
    return np.array([word.score for word in explanation.words])


def margin_of(run, text, label, against=None):
    """A label's logit over the mean of the others', or another's, from what is predicted."""
    told = run.predict([text])[0].probabilities
    logits = dict(zip(told, np.log(list(told.values())), strict=True))
    others = [against] if against else [name for name in logits if name != label]
    return logits[label] - np.mean([logits[name] for name in others])


def check(run, text):
    """That scores add up to the margin that predictions have, over what hidden words leave of it."""
    (found,) = run.explain([text])
    assert found.label == run.predict([text])[0].label == found.explained
    assert found.margin == pytest.approx(margin_of(run, text, found.label), abs=1e-4)
    allowed = max(CLOSE, CLOSE_SHARE * abs(found.margin - found.hidden_margin)) * 1.01
    assert abs(found.rest) <= allowed
    assert abs(scores_of(found).sum() - (found.margin - found.hidden_margin)) <= allowed
    assert [text[word.start : word.end] for word in found.words] == [word.word for word in found.words]
    return found


def test_scores_add_up_in_every_family(run_for, family):
    found = check(run_for(family), TEXT)
    assert [word.word for word in found.words] == ["The", "apple", ",", "near", "&", "under", "the", "iron", "of", "some"]


@pytest.mark.parametrize("method", METHODS)
def test_scores_add_up_however_it_was_trained_and_reads(run_for, method):
    check(run_for("bert", *METHODS[method]), LONG)


def test_a_margin_is_hidden_where_every_word_is_the_mask(run_for):
    run = run_for("bert")
    (found,) = run.explain(["apple near the iron"])
    hidden = margin_of(run, "[MASK] [MASK] [MASK] [MASK]", found.label)
    assert found.hidden_margin == pytest.approx(hidden, abs=1e-4)


def test_every_window_is_heard(run_for, planted):
    run = run_for("bert", *METHODS["windows"], *planted)
    (found,) = run.explain([LONG], label="fruit", against="metal")
    scores = {word.word: word.score for word in found.words if word.word not in FILLER}
    assert scores["apple"] > 0 > scores["iron"]


def test_words_that_were_cut_off_add_nothing(run_for):
    at_the_end, at_the_start = (
        scores_of(run_for("bert", *METHODS[f"one window that cuts{side}"]).explain([LONG])[0]) for side in ("", " the start")
    )
    assert at_the_end[:10].all()
    assert not at_the_end[10:].any()
    assert at_the_start[-10:].all()
    assert not at_the_start[:-10].any()


# ------------------------------------------------------------------------------------------------------- what decides


@pytest.mark.parametrize("name", DECIDED)
@pytest.mark.parametrize("at", [0, 3, 6])
def test_a_planted_word_is_what_decides(learnt, name, at):
    filler = FILLER[:6]
    planted = [*filler[:at], WORDS[name][0], *filler[at:]]
    (found,) = learnt.explain([" ".join(planted)])
    assert found.label == name
    assert found.strongest[0].word == WORDS[name][0]
    assert found.strongest[0].score > 2 * np.abs(np.delete(scores_of(found), at)).max()


@pytest.mark.parametrize("name", DECIDED)
def test_masking_the_deciding_word_changes_answer_and_scores_and_masking_others_does_not(learnt, name):
    words = [*FILLER[:4], WORDS[name][1], *FILLER[4:8]]
    (found,) = learnt.explain([" ".join(words)])
    deciding = scores_of(found)[4]

    def masked(place):
        text = " ".join(["[MASK]" if number == place else word for number, word in enumerate(words)])
        return learnt.explain([text], label=name)[0]

    assert found.label == name
    assert found.strongest[0].word == words[4]
    without = masked(4)
    assert without.label == "river"
    assert max(word.score for word in without.words) < deciding / 2
    for place in (0, 2, 6, 8):
        other = masked(place)
        assert other.label == name
        assert other.strongest[0].word == words[4]


def test_two_classes_are_weighed_against_each_other(learnt):
    text = "the apple near the iron"
    (one,), (other,) = (
        learnt.explain([text], label="fruit", against="metal"),
        learnt.explain([text], label="metal", against="fruit"),
    )
    np.testing.assert_allclose(scores_of(one), -scores_of(other), atol=1e-5)
    by_word = {word.word: word.score for word in one.words}
    assert by_word["apple"] > 0 > by_word["iron"]


def test_integrated_gradients_are_captums(learnt):
    attribution = pytest.importorskip("captum.attr", reason="captum is not installed")
    explainer = learnt.explainer
    text, contrast = "the apple near the iron and some copper", np.array([1.0, -0.5, -0.5])
    tokens = tokenize(explainer.tokenizer, [text], max_length=24)
    window = to_tensors(collate(tokens, [0], explainer.padding))
    hidden = window["input_ids"].clone()
    hidden[0, 1:-1] = explainer.mask
    model, embed = explainer.margins.model, explainer.margins.embeddings
    shares, _ = explainer.margins.attributed(window, hidden, contrast)

    def margin(embedded, mask):
        return model(inputs_embeds=embedded, attention_mask=mask.expand(len(embedded), -1)).logits.double() @ torch.tensor(
            contrast
        )

    theirs = attribution.IntegratedGradients(margin).attribute(
        embed(window["input_ids"]).detach(),
        embed(hidden).detach(),
        additional_forward_args=window["attention_mask"],
        n_steps=128,
    )
    np.testing.assert_allclose(shares, theirs.sum(-1)[0].numpy(), rtol=0.02, atol=0.02)


# ------------------------------------------------------------------------------------------------------- counted words


def counted(texts, labels, classes, **task):
    preprocessing = Preprocessing(classes=classes, clean=("whitespace",), max_length=8, **task)
    words = Words.fit(texts, np.asarray(labels), classes)
    return WeightExplainer(WordsPredictor(words, None, preprocessing)), words


THREE = (
    ["good day sun", "bad rain day", "so so day", "good sun", "bad rain", "so la la"],
    [0, 1, 2, 0, 1, 2],
    ("a", "b", "c"),
)
TWO = (["good day sun", "bad rain day", "good sun", "bad rain"], [0, 1, 0, 1], ("a", "b"))
SIGNS = (["😀 😀", "😡", "😀", "😡 😡"], [0, 1, 0, 1], ("a", "b"))
ABSENT = (TWO[0], TWO[1], ("a", "b", "never"))


@pytest.mark.parametrize("data", [THREE, TWO, SIGNS, ABSENT], ids=["three", "two", "signs", "an absent class"])
@pytest.mark.parametrize("text", ["Good  day, good rain", "😀 😡 x", "unknown words", "", "İSTANBUL good"])
def test_scores_of_counted_words_are_exact(data, text):
    explainer, words = counted(*data)
    (found,) = explainer.explain([text])
    assert abs(found.rest) < 1e-6
    present = [name for name in data[2] if name in words.pipeline.classes_]
    logits = dict(zip(present, np.log([found.probabilities[name] for name in present]), strict=True))
    others = [logits[name] for name in present if name != found.label]
    assert found.margin == pytest.approx(logits[found.label] - np.mean(others), abs=1e-5)
    (hidden,) = explainer.explain([""], label=found.label)
    assert found.hidden_margin == pytest.approx(hidden.margin)


def test_a_words_score_is_its_weight_times_its_count_and_half_of_its_pairs():
    explainer, words = counted(*TWO)
    vectorizer, model = words.pipeline
    (found,) = explainer.explain(["sun good sun"], label="b")
    values = dict(zip(vectorizer.get_feature_names_out(), vectorizer.transform(["sun good sun"]).toarray()[0], strict=True))
    weight = dict(zip(vectorizer.get_feature_names_out(), model.coef_[0], strict=True))
    sun, good, pair = (weight[word] * values[word] for word in ("sun", "good", "good sun"))
    assert "sun good" not in weight
    assert scores_of(found) == pytest.approx([sun / 2, good + pair / 2, sun / 2 + pair / 2])


JOY, ANGER = "sun good sun", "rain bad rain"
BOTH_ROWS = ([JOY, ANGER, f"{JOY} {ANGER}", "nothing here"] * 3, [[1, 0], [0, 1], [1, 1], [0, 0]] * 3, ("joy", "anger"))


def test_of_several_labels_the_surest_is_explained_by_its_log_odds():
    explainer, words = counted(*BOTH_ROWS, task="multi-label")
    (found,) = explainer.explain([f"{JOY} sun rain"])
    assert found.label == ("joy",)
    assert found.explained == "joy"
    share = words.probabilities([f"{JOY} sun rain"])[0, 0]
    assert found.margin == pytest.approx(np.log(share / (1 - share)), abs=1e-5)
    assert abs(found.rest) < 1e-6
    assert found.words[0].score > 2 * abs(found.words[4].score)
    (none,) = explainer.explain(["nothing here"])
    assert none.label == ()
    (other,) = explainer.explain([f"{JOY} sun rain"], label="anger")
    assert max(other.words, key=lambda word: word.score).word == "rain"


def test_of_several_columns_a_label_stands_against_the_others_of_its_column():
    rows, classes = [[1, 0, 1, 0], [0, 1, 1, 0], [1, 0, 0, 1], [0, 1, 0, 1]] * 3, ("a=x", "a=y", "b=u", "b=v")
    texts = ["sun cat", "rain cat", "sun dog", "rain dog"] * 3
    explainer, words = counted(texts, rows, classes, task="label-columns", columns={"a": 2, "b": 2})
    (found,) = explainer.explain(["sun cat"], label="a=x")
    assert found.label == {"a": "x", "b": "u"}
    odds = np.log(words.probabilities(["sun cat"])[0]) - np.log(1 - words.probabilities(["sun cat"])[0])
    assert found.margin == pytest.approx(odds[0] - odds[1], abs=1e-5)
    assert [sum(list(found.probabilities.values())[part]) for part in (slice(2), slice(2, 4))] == pytest.approx([1, 1])
    assert found.words[0].score > 2 * abs(found.words[1].score)


def test_a_class_that_no_row_had_is_not_explained():
    explainer, _ = counted(*ABSENT)
    with pytest.raises(DataError, match="no training row was of class 'never'"):
        explainer.explain(["good"], label="never")


@given(st.text(st.sampled_from("abİß \t\u00a0.1'"), max_size=20), st.sampled_from(["word", "char"]))
def test_what_is_counted_is_found_where_scikit_learn_counts_it(text, analyzer):
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectorizer = TfidfVectorizer(ngram_range=(1, 2), analyzer=analyzer)
    counts = {}
    for word in vectorizer.build_analyzer()(text):
        counts[word] = counts.get(word, 0) + 1
    places = places_of(vectorizer, text)
    assert {word: len(at) for word, at in places.items()} == counts
    assert all(0 <= start < end <= len(text) for at in places.values() for spans in at for start, end in spans)


# -------------------------------------------------------------------------------------------------------------- words

PIECES = st.lists(st.tuples(st.integers(0, 20), st.integers(1, 8), st.floats(-5, 5)), max_size=12)


@given(st.text(st.sampled_from("ab  .日"), min_size=1, max_size=25), PIECES)
def test_no_score_is_lost_between_pieces_and_words(text, pieces):
    spans = word_spans(text)
    scores = words_of_pieces([(start, start + length, score) for start, length, score in pieces], spans)
    assert len(scores) == len(spans)
    assert sum(scores) == pytest.approx(sum(score for *_, score in pieces) if spans else 0, abs=1e-9)


def test_pieces_go_to_the_words_they_stand_in():
    text = "unhappy, no"
    spans = word_spans(text)
    assert [text[a:b] for a, b in spans] == ["unhappy", ",", "no"]
    pieces = [(0, 2, 1.0), (2, 7, 2.0), (7, 8, 4.0), (8, 9, 8.0), (8, 11, 16.0), (6, 8, 32.0)]
    assert words_of_pieces(pieces, spans) == [1 + 2 + 16, 4 + 8 + 16, 16]


@pytest.mark.parametrize("limits", [{"max_length": 64}, {"max_length": 9}, {"max_length": 9, "windows": 3}])
def test_tokens_are_found_where_they_stand(run_for, family, limits):
    tokenizer = run_for(family).explainer.tokenizer
    text = "the Apple near iron of some very odd danube under the rhine"
    spans, tokens = token_spans(tokenizer, text, **limits), tokenize(tokenizer, [text], **limits)
    assert [len(window) for window in spans] == tokens.lengths.tolist()
    for (ids, _), window in zip(tokens, spans, strict=True):
        read = [int(number) for number, span in zip(ids, window, strict=True) if span]
        alone = [tokenizer([text[span[0] : span[1]]])["input_ids"][0] for span in window if span]
        assert all(number in one for number, one in zip(read, alone, strict=True))
        assert len(ids) - len(read) == len(tokenizer([""])["input_ids"][0])


# ------------------------------------------------------------------------------------------------------------- refused


def test_what_is_no_class_or_no_list_of_texts_is_refused(run_for):
    run = run_for("bert")
    with pytest.raises(DataError, match=r"'frut' is no class of this run; expected one of 'fruit'.*did you mean 'fruit'"):
        run.explain(["apple"], label="frut")
    with pytest.raises(DataError, match="label and against are both 'fruit'"):
        run.explain(["apple"], label="fruit", against="fruit")
    with pytest.raises(DataError, match=r"explain takes a list of texts, found one string; type explain\(\[text\]\)"):
        run.explain("apple")
    with pytest.raises(DataError, match="text 1 is a int"):
        run.explain(["apple", 3])
    assert run.explain([]) == []
