"""What makes tokens of raw text, the same in training and serving; it travels with the run."""

from dataclasses import dataclass

from rankwise.data.clean import clean
from rankwise.system.files import Stored


@dataclass(frozen=True)
class Preprocessing(Stored):
    """The settings that lead from raw text to tokens, and the classes."""

    classes: tuple[str, ...]
    clean: tuple[str, ...]
    max_length: int
    join: str = " . "
    text: tuple[str | int, ...] = ()
    """Column names of the training file, for prediction files that say nothing else."""
    numbering: tuple[str, ...] = ()
    """Class names in the order that whole-number labels count them; empty where nothing says the order."""

    def apply(self, text: str) -> str:
        """The clean text, which a tokenizer takes."""
        return clean(text, self.clean)
