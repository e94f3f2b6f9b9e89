"""Labelled text: where it is, how it is cleaned, cut and split."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, field_validator

from rankwise.recipe.values import Columns, Count, LabelColumns, Seed, ShareOrCount, Spec, share

Quoting = Literal["auto", "double", "single", "backslash", "none"]
CleanStep = Literal["escapes", "html", "emails", "urls", "numbers", "agencies", "whitespace"]
ShiftKind = Literal[
    "typos", "lower", "upper", "title", "no_agencies", "masked_numbers", "dropped_words", "shuffled_sentences"
]

DELIMITERS = {"comma": ",", "semicolon": ";", "tab": "\t", "pipe": "|"}

# The keys of data that say what becomes of rows and labels once a file is read.
AFTER_READING = frozenset(
    {"clean", "max_length", "windows", "truncation_side", "length_percentiles", "unseen_labels", "leakage", "bounds"}
)


class SourceSpec(Spec):
    """One file, folder or hub data set, and where in it the text and the label are. A plain string is its path."""

    path: str
    """A CSV, TSV, JSON, Excel, Parquet, Arrow or text file, a folder of class folders, `hub:NAME` or `hub:NAME:SPLIT`."""
    text: Columns = ()
    """Columns to read as text, joined in this order; names, or positions from 0. Found by name when left out."""
    text_pair: Columns = ()
    """Columns of the second text, where a row is a pair of texts: two segments for the encoder, not joined ones."""
    label: LabelColumns = None
    """The label's column, a name or a position. A list of columns of 0 and 1 gives a text several labels; of other columns, a
    label in each. Found by name when left out.
    """
    header: bool | None = None
    """Whether the first row names the columns; found out when left out."""
    encoding: str = "utf-8"
    """The file's character encoding."""
    sheet: str | None = None
    """The sheet of a workbook; the only one that holds rows when left out."""


Source = Annotated[SourceSpec, BeforeValidator(lambda v: {"path": v} if isinstance(v, str) else v)]


class SplitSpec(Spec):
    """How rows are set aside when no validation or test file is given; stratified by class."""

    validation: Annotated[ShareOrCount, Field(gt=0)] = 0.1
    """A share (`10%`) or a number of training rows for validation."""
    test: Annotated[ShareOrCount, Field(gt=0)] = 0.1
    """A share or a number of rows for the test, where no test file is given."""
    seed: Seed = 42
    """Which rows: the same seed gives the same split."""


class DataSpec(Spec):
    """Labelled text: where it is, how it is cleaned, cut and split."""

    source: str | None = None
    """A folder holding train, validation and test files, one file to be split, `hub:NAME`, or `sample`."""
    train: Source | None = None
    """The training rows; goes before `source`."""
    validation: Source | None = None
    """Rows that choose the best checkpoint. Split off the training rows when absent."""
    test: Source | None = None
    """Rows that are scored once, at the end. Split off the training rows when absent."""
    classes: tuple[str, ...] = ()
    """Class names in the order of their numbers. Found in the labels when left out."""
    task: Literal["auto", "single-label", "ordered", "multi-label", "label-columns", "regression"] = "auto"
    """What is decided about a text: one label of several, one of several in an order (stars, priorities), any number of
    labels, a label for each of several columns, or a number. Found in the labels with `auto`, but for an order; a number
    where there are more than 20 different ones, some with fractions.
    """
    bounds: Literal["auto", "none"] | tuple[float, float] = "auto"
    """Between what a number is told, such as [1, 5]: auto takes the lowest and the highest training label, where that lowers
    the squared error on rows held out.
    """
    text: Columns = ()
    """Text columns for every file that does not say otherwise."""
    text_pair: Columns = ()
    """Columns of the second text of a pair, for every file that does not say otherwise: premise is `text`, hypothesis
    `text_pair`. Found by names such as sentence1 and sentence2 when both are left out.
    """
    label: LabelColumns = None
    """The label column, or columns, for every file that does not say otherwise."""
    header: bool | None = None
    """Whether the first row names the columns, for every file that does not say otherwise; found out when left out."""
    sheet: str | None = None
    """The sheet of every workbook that does not say otherwise. When left out, sheets named train, validation and test are the
    splits, and of other sheets only one may hold rows.
    """
    join: str = " . "
    """What stands between joined text columns."""
    quoting: Quoting = "auto"
    """What quotes mean in CSV and TSV: `double` and `single` ones hold a cell and are doubled inside it, `backslash` stands
    before a double quote inside one, with `none` they are characters as others are. Found out with `auto`.
    """
    delimiter: str | None = None
    """What stands between the cells of CSV: `comma`, `semicolon`, `tab`, `pipe` or one character. Found out when left out."""
    rows: Count | None = None
    """Train on this many rows (stratified, by the split's seed); all when left out."""
    test_rows: Count | None = None
    """Score at most this many test rows; all when left out."""
    split: SplitSpec = SplitSpec()
    clean: tuple[CleanStep, ...] = ()
    """Cleaning steps, in order; stored with the run and applied again at prediction."""
    max_length: Annotated[float, BeforeValidator(share)] = 128
    """Longest text in tokens, or the share of training texts that must fit whole (`99.5%`). Both texts of a pair share it."""
    windows: Count = 1
    """Overlapping windows of max_length tokens that a longer text is read in, at most; its logits are the mean of theirs.
    A pair of texts is always read in one.
    """
    truncation_side: Literal["right", "left", "auto"] = "right"
    """Where a text that fits into no more windows is cut: right loses its end, left its beginning; auto keeps the end that
    tells the classes apart better, by training rows. Travels with the run's tokenizer.
    """
    length_percentiles: tuple[float, float] | None = None
    """Train only on texts whose token length lies between these percentiles, such as [1, 99]."""
    empty_text: Literal["drop", "fail"] = "drop"
    """Rows without text: counted and dropped, or an error."""
    skip_bad_rows: bool = False
    """Drop and count rows with too many or too few fields instead of stopping."""
    leakage: Literal["fail", "allow"] = "fail"
    """More than 5 % of the test texts also in training: an error, or told beside a score on the clean rows."""
    unseen_labels: Literal["fail", "wrong"] = "fail"
    """A label in validation or test that training never saw: an error, or scored as wrong."""

    @property
    def names_files(self) -> bool:
        """Whether training rows come from files, the hub or the sample, not from lists in memory."""
        return self.source is not None or self.train is not None

    @field_validator("delimiter")
    @classmethod
    def _one_character(cls, value: str | None) -> str | None:
        if value is None or value in DELIMITERS or (len(value) == 1 and value not in '"\r\n'):
            return value
        raise ValueError(f"'{value}' is neither one character nor one of {', '.join(DELIMITERS)}")

    @field_validator("bounds")
    @classmethod
    def _rising(cls, value: str | tuple[float, float]) -> str | tuple[float, float]:
        if not isinstance(value, str) and not value[0] < value[1]:
            raise ValueError(f"{list(value)} is not a lower and a higher number, such as [1, 5]")
        return value

    @field_validator("max_length")
    @classmethod
    def _length_or_coverage(cls, value: float) -> float:
        if 0 < value <= 1 or (value >= 4 and value == int(value)):
            return value
        raise ValueError(f"{value:g} is neither a number of tokens (4 or more) nor a share such as 99.5%")

    @field_validator("length_percentiles")
    @classmethod
    def _ordered(cls, value: tuple[float, float] | None) -> tuple[float, float] | None:
        if value is not None and not 0 <= value[0] < value[1] <= 100:
            raise ValueError(f"{list(value)} is not a pair of rising percentiles between 0 and 100")
        return value
