"""Delimited text is cut into the rows and cells that its writer had, or the user is asked; never silently otherwise."""

import gzip
import random
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tables import failing, read, write

from rankwise.data.files.table import read_table
from rankwise.errors import DataError
from rankwise.recipe import DataSpec, SourceSpec

ROWS = [f"{word} text number {number}" for number, word in enumerate(["good", "bad"] * 30)]


def lines(texts: list[str], delimiter: str = "\t", end: str = "\n") -> str:
    """Texts with a label each, quotes as they are."""
    return "".join(f"{text}{delimiter}{number % 2}{end}" for number, text in enumerate(texts))


def tsv(*changed: tuple[int, str], end: str = "\n") -> tuple[str, tuple[str, ...]]:
    """(a TSV file in which some texts are others, its texts)."""
    texts = list(ROWS)
    for number, text in changed:
        texts[number] = text
    return f"sentence\tlabel{end}" + lines(texts, end=end), tuple(texts)


# ------------------------------------------------------------------------------------------------ quotes as characters


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize(
    "changed",
    [
        [(9, '"opens and'), (14, 'closes far below"'), (30, '"again'), (31, 'and"')],
        [(40, '"a quote that never closes')],
        [(12, '"Great" he said'), (50, '"')],
        [(12, 'he said "Great'), (13, '"')],
        [(59, '"in the last row')],
        [(0, '"in the first row'), (1, 'and the second"')],
        [(5, '"both" and "'), (20, '" quote')],
    ],
)
def test_quotes_that_do_not_balance_by_line_are_characters(tmp_path: Path, changed: list[tuple[int, str]], end: str) -> None:
    content, texts = tsv(*changed, end=end)
    table = read(write(tmp_path / "t.tsv", content))
    assert table.texts == texts
    assert "TSV, tab, quotes are characters, header" in table.layout.describe()


@pytest.mark.parametrize("delimiter", [";", "|", ","])
def test_labels_show_that_quotes_merged_rows_whatever_the_delimiter(tmp_path: Path, delimiter: str) -> None:
    texts = ['"one', *ROWS, 'two"', "three"]
    table = read(write(tmp_path / "t.csv", f"text{delimiter}label\n" + lines(texts, delimiter)))
    assert table.texts == tuple(texts)


def test_text_in_quotes_over_lines_stays_one_text_though_each_line_could_be_a_row(tmp_path: Path) -> None:
    content = 'label,text\n1,"hello, there"\n2,"dear\nall, of you"\n1,"one, two\nthree, four"\n2,no\n'
    assert read(write(tmp_path / "t.csv", content)).texts == (
        "hello, there",
        "dear\nall, of you",
        "one, two\nthree, four",
        "no",
    )


def test_where_both_readings_fit_the_user_is_asked_and_what_is_told_to_type_works(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", 'label,text\n1,"hello\nagain, friend"\n2,no\n')
    message = failing(path)
    assert "lines 2 to 3: one row with a text in quotes, or rows" in message
    assert "--set data.quoting=double or --set data.quoting=none" in message
    assert read(path, quoting="double").texts == ("hello\nagain, friend", "no")
    assert read(path, quoting="none").texts == ('"hello', ' friend"', "no")


def test_a_quote_that_is_wrong_in_a_quoted_file_is_an_error_and_names_the_setting(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", '"text","label"\n"never,"b"\n"z","c"\n')
    assert "line 2: a quote opens in this row" in failing(path)
    assert "--set data.quoting=none" in failing(path)


def test_a_row_without_a_label_does_not_turn_quotes_into_characters(tmp_path: Path) -> None:
    assert "line 2: 1 field, expected 2" in failing(write(tmp_path / "t.csv", 'text,label\n"a, b"\nc,d\n'))


# ------------------------------------------------------------------------------------------------- quotes around cells


def test_cells_that_are_all_empty_are_a_row(tmp_path: Path) -> None:
    assert read(write(tmp_path / "t.tsv", "text\tlabel\nx\ta\n\t\ny\tb\n")).rows.tolist() == [1, 3]


def test_one_bare_quote_in_a_quoted_file_does_not_make_quotes_characters(tmp_path: Path) -> None:
    texts = [f'"so ""called"" number {number}"' if number % 5 == 0 else f"number {number}" for number in range(60)]
    texts[7] = 'a "bare" one'
    table = read(write(tmp_path / "t.tsv", "text\tlabel\n" + lines(texts)))
    assert (table.texts[5], table.texts[7]) == ('so "called" number 5', 'a "bare" one')


def test_backslashes_before_quotes_are_found_out_and_others_are_kept(tmp_path: Path) -> None:
    content = '"label","text"\n"1","a \\"so called\\", refund"\n"2","C:\\temp and \\\\server"\n"1","say \\"no\\""\n'
    table = read(write(tmp_path / "t.csv", content))
    assert table.texts == ('a "so called", refund', "C:\\temp and \\server", 'say "no"')
    assert "a backslash before quotes" in table.layout.describe()


def test_backslashes_before_delimiters_are_found_out(tmp_path: Path) -> None:
    assert read(write(tmp_path / "t.csv", "text,label\nhello\\, world,a\nx,b\n")).texts == ("hello, world", "x")


def test_backslashes_in_doubled_quotes_are_characters(tmp_path: Path) -> None:
    content = 'text,label\n"C:\\",a\n"a ""b"" \\n, c",b\n'
    assert read(write(tmp_path / "t.csv", content)).texts == ("C:\\", 'a "b" \\n, c')


def test_single_quotes_and_blanks_before_quotes_are_found_out(tmp_path: Path) -> None:
    assert read(write(tmp_path / "a.csv", "text,label\n'it''s, so',a\n'b','c'\n")).texts == ("it's, so", "b")
    assert read(write(tmp_path / "w.csv", "'text','label'\n'it''s so','a'\n'b','c'\n")).texts == ("it's so", "b")
    assert read(write(tmp_path / "b.csv", 'text, label\n"a, b", "x"\n"c", "d, e"\n')).labels == ("x", "d, e")
    assert read(write(tmp_path / "c.csv", "text,label\n'twas so,a\nrock 'n',b\n")).texts == ("'twas so", "rock 'n'")


# ------------------------------------------------------------------------------------------------------ lines and tops


def test_a_bare_carriage_return_is_part_of_a_text_where_lines_end_otherwise(tmp_path: Path) -> None:
    for end in ("\n", "\r\n"):
        path = write(tmp_path / "t.csv", f'text,label{end}one\rtwo,a{end}"x\r,y,\r{end}z",b{end}')
        assert read(path).texts == ("one\rtwo", f"x\r,y,\r{end}z")


def test_carriage_returns_alone_end_lines_where_nothing_else_does(tmp_path: Path) -> None:
    assert read(write(tmp_path / "t.csv", 'text,label\rone,a\r"two, three",b\r')).texts == ("one", "two, three")


def test_a_separator_line_names_the_delimiter_and_is_no_row(tmp_path: Path) -> None:
    for first in ("sep=;", '"sep=;"', "SEP=;"):
        table = read(write(tmp_path / "t.csv", f"{first}\r\ntext;label\r\na, b;x\r\nc, d;y\r\n"))
        assert (table.texts, table.labels) == (("a, b", "c, d"), ("x", "y"))
    assert "line 4: 3 fields" in failing(write(tmp_path / "t.csv", "sep=;\ntext;label\na;x\nb;y;z\n"))


def test_comments_are_no_rows_and_are_told(tmp_path: Path) -> None:
    content = "# made on 1 May, by hand, so\n#\n\ntext,label\none,a\n# the second half\n#tagged,b\ntwo,c\n"
    table = read(write(tmp_path / "t.csv", content))
    assert table.texts == ("one", "#tagged", "two")
    assert "CSV, comma, 3 comment lines, header" in table.layout.describe()
    assert read(write(tmp_path / "u.csv", "# made on 1 May, by hand\ntext,label\none,a\n")).texts == ("one",)


def test_rows_that_begin_with_a_hash_are_rows(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", "#monday again,a\n#friday,b\nnothing,a\n# alone,b\n")
    assert len(read(path, text=0, label=1, source={"header": False}).texts) == 4
    assert read(write(tmp_path / "u.tsv", "#id\ttext\tlabel\n1\tx\ta\n2\ty\tb\n")).texts == ("x", "y")
    assert len(read(write(tmp_path / "v.csv", "text\n# one\ntwo\n"), needs_label=False).texts) == 2


def test_comments_of_the_width_of_rows_are_told_from_rows_and_headers(tmp_path: Path) -> None:
    rows = "# one of them,a\nmonday again,b\n# friday,a\n"
    by_position = {"text": 0, "label": 1, "source": {"header": False}}
    assert len(read(write(tmp_path / "t.csv", rows), **by_position).texts) == 3
    assert len(read(write(tmp_path / "t.csv", "# made on 1 May, by hand\n" + rows), **by_position).texts) == 3
    assert read(write(tmp_path / "t.csv", "# text,label\none,a\n"), **by_position).texts == ("# text", "one")


def test_the_wrong_number_of_cells_in_a_hashed_line_is_no_comment(tmp_path: Path) -> None:
    assert "line 3: 3 fields" in failing(write(tmp_path / "t.csv", "text,label\none,a\n# two, three,b\n"))


# --------------------------------------------------------------------------------------------------------- delimiters


def test_two_delimiters_that_fit_alike_are_asked_about(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", "good, so good;1\nbad, so bad;2\n")
    message = failing(path)
    assert "comma and semicolon cut all lines evenly" in message
    assert "--set data.delimiter=semicolon" in message
    for delimiter in ("semicolon", ";"):
        assert read(path, delimiter=delimiter, text=0, label=1, source={"header": False}).labels == ("1", "2")
    assert read(write(tmp_path / "u.csv", "text^label\na, b^x\n"), delimiter="^").texts == ("a, b",)
    with pytest.raises(ValueError, match="neither one character nor one of comma"):
        DataSpec(delimiter="::")


def test_unquoted_quotes_do_not_hide_the_delimiter(tmp_path: Path) -> None:
    texts = [f'"{row}' if number % 7 == 0 else row for number, row in enumerate(ROWS)]
    assert read(write(tmp_path / "t.csv", "text\tlabel\n" + lines(texts))).texts == tuple(texts)


# ----------------------------------------------------------------------------------------------- a generator of files

WORDS = ["a", "refund", "parcel", "login", "never", "card", "screen", "order", "thanks", "late", "because", "and", "why"]
EXTRAS = ["don't", "it's", "50%", "#1", "a/b", "(so)", "é", "日本", "🙂", "--", "C:\\temp", "\\n", "x=1", "# no"]


@dataclass
class Written:
    """A file that a program or a person wrote, and what is in it."""

    name: str
    content: bytes
    texts: tuple[str, ...]
    labels: tuple[str, ...]
    settings: dict = field(default_factory=dict)
    source: dict = field(default_factory=dict)


def written(seed: int) -> Written:
    """A file in a dialect of its own: delimiter, quoting, escapes, line ends, header, other columns, comments, `sep=`."""
    rng = random.Random(seed)
    delimiter = rng.choice([",", ",", ";", "\t", "|"])
    quoting = rng.choice(["minimal", "minimal", "all", "backslash", "plain", "plain", "single"])
    end = rng.choice(["\n", "\n", "\r\n", "\r\n", "\r"])
    returns = end != "\r" and rng.random() < 0.3
    spaced = quoting in ("minimal", "all") and delimiter != "\t" and rng.random() < 0.15
    names = ["text", "label", *rng.sample(["id", "date", "user", "source"], rng.randint(0, 3))]
    rng.shuffle(names)
    count = rng.randint(8, 150)

    def text() -> str:
        words = rng.choices(WORDS, k=rng.randint(2, 14)) + rng.choices(EXTRAS, k=rng.randint(0, 2))
        rng.shuffle(words)
        for mark, share in ((delimiter, 0.2), (",", 0.2), ('"', 0.15), ("'", 0.1), ("\n", 0.1), ("\r", 0.1 * returns)):
            for _ in range(rng.choice([1, 2, 2, 3]) if rng.random() < share else 0):
                place = rng.randrange(len(words))
                words[place] = mark + words[place] if rng.random() < 0.5 else words[place] + mark
        joined = " ".join(words)
        joined = f'"{joined}"' if rng.random() < 0.03 else joined
        if quoting == "plain":
            joined = joined.replace(delimiter, " ").replace("\n", " ")
        return joined.replace("\n", rng.choice(["\n", end]) if end != "\r" else "\r").strip()

    rows = []
    for number in range(count):
        values = {
            "text": text(),
            "label": rng.choice(["billing", "login", "praise"]),
            "id": str(1000 + number),
            "date": f"2024-0{rng.randint(1, 9)}-1{rng.randint(0, 9)} 10:00",
            "user": f"user{rng.randint(1, 500)}",
            "source": rng.choice(["web", "app"]),
        }
        rows.append([values[name] for name in names])
    if quoting == "backslash":
        rows[-1][names.index("text")] = 'so "called"'  # or nothing tells it from doubled quotes
    if rng.random() < 0.3:
        rows.sort(key=lambda row: row[names.index("label")])

    def cell(value: str) -> str:
        special = any(mark in value for mark in (delimiter, "\n", "\r", "'" if quoting == "single" else '"'))
        if returns and quoting == "minimal" and "\r" in value and not any(mark in value for mark in (delimiter, "\n", '"')):
            special = False  # as those write it who only know of line feeds
        if quoting == "plain" or (quoting == "minimal" and not special):
            return value
        if quoting == "backslash":
            return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
        quote = "'" if quoting == "single" else '"'
        return quote + value.replace(quote, 2 * quote) + quote

    header = rng.random() < 0.6
    between = delimiter + " " if spaced else delimiter
    body = [between.join(map(cell, row)) for row in ([names, *rows] if header else rows)]
    if rng.random() < 0.2:
        body.insert(rng.randrange(1, len(body)), "# what follows was added later")
    if rng.random() < 0.2:
        body[:0] = ["# exported 2024-05-01, by a program; all rows", "#"][: rng.randint(1, 2)]
    named = delimiter in ",;" and rng.random() < 0.2
    if named:
        body.insert(0, f"sep={delimiter}")
    suffix = ".tsv" if delimiter == "\t" and rng.random() < 0.5 else ".csv"
    content = (end.join(body) + (end if rng.random() < 0.8 else "")).encode()
    content = b"\xef\xbb\xbf" + content if rng.random() < 0.1 else content
    packed = rng.random() < 0.1
    text_at, label_at = names.index("text"), names.index("label")
    settings = {"text": "text", "label": "label"} if header else {"text": text_at, "label": label_at}
    return Written(
        f"t{suffix}{'.gz' if packed else ''}",
        gzip.compress(content, mtime=0) if packed else content,
        tuple(row[text_at] for row in rows),
        tuple(row[label_at] for row in rows),
        settings,
        {} if header else {"header": False},
    )


def outcome(tmp_path: Path, seed: int, *, guessed: bool = False) -> str:
    """`right`, `refused`, or what is wrong about a generated file, whose header and columns are said unless `guessed`."""
    file = written(seed)
    path = write(tmp_path / file.name, file.content)
    said, settings = ({}, {}) if guessed else (file.source, file.settings)
    try:
        table = read_table(SourceSpec(path=str(path), **said), DataSpec(**settings))
    except DataError:
        return "refused"
    if len(table.texts) != len(file.texts):
        return f"{len(table.texts)} rows of {len(file.texts)}"
    pairs = zip(zip(table.texts, table.labels or (), strict=True), zip(file.texts, file.labels, strict=True), strict=True)
    return next((f"{found!r} for {true!r}" for found, true in pairs if found != true), "right")


def test_a_hundred_files_in_a_hundred_dialects_are_read_right_or_refused(tmp_path: Path) -> None:
    outcomes = {seed: outcome(tmp_path, seed) for seed in range(100)}
    assert {seed: what for seed, what in outcomes.items() if what not in ("right", "refused")} == {}
    assert list(outcomes.values()).count("refused") <= 5


def test_a_hundred_more_of_which_nothing_is_said_are_read_right_or_asked_about(tmp_path: Path) -> None:
    outcomes = {seed: outcome(tmp_path, seed, guessed=True) for seed in range(100, 200)}
    assert {seed: what for seed, what in outcomes.items() if what not in ("right", "refused")} == {}
    assert list(outcomes.values()).count("right") >= 70
