"""A saved tokenizer run by the `tokenizers` library alone: the ids that transformers' would give, without transformers."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rankwise.errors import DataError, RunError, require
from rankwise.system.files import read_json

SIDES = ("left", "right")


class FileTokenizer:
    """tokenizer.json, with padding and truncation as tokenizer_config.json says; called as transformers' tokenizers are."""

    def __init__(self, backend: Any, config: dict[str, Any]) -> None:
        """`backend` is a tokenizers.Tokenizer."""
        self.backend_tokenizer = backend
        self.padding_side: str = config["padding_side"]
        self.truncation_side: str = config.get("truncation_side", "right")
        pad = config["pad_token"]  # as it is written, or as an added token's description
        self.pad_token_id: int = backend.token_to_id(pad["content"] if isinstance(pad, dict) else pad)
        mask = config.get("mask_token")
        self.mask_token_id: int | None = (
            backend.token_to_id(mask["content"] if isinstance(mask, dict) else mask) if mask else None
        )
        self.pad_token_type_id: int = config.get("pad_token_type_id", 0)
        self.gives_types = "token_type_ids" in config.get("model_input_names", ("token_type_ids",))
        backend.no_padding()

    def __len__(self) -> int:
        """Tokens that it knows, added ones included."""
        return int(self.backend_tokenizer.get_vocab_size())

    def __call__(
        self,
        texts: Sequence[str],
        text_pair: Sequence[str] | None = None,
        *,
        truncation: bool = False,
        max_length: int | None = None,
        **_: Any,
    ) -> dict[str, list[list[int]]]:
        """Ids and segment ids of each text, or of each pair of a text with one of `text_pair`, with special tokens.

        Not for several threads at once.
        """
        if truncation and max_length is not None:
            self.backend_tokenizer.enable_truncation(max_length, direction=self.truncation_side)
        else:
            self.backend_tokenizer.no_truncation()
        backend = self.backend_tokenizer  # whose batches start threads, which a single text does without
        given: list[Any] = [(text,) for text in texts] if text_pair is None else list(zip(texts, text_pair, strict=True))
        if len(given) > 1:
            rows = backend.encode_batch(given if text_pair is not None else list(texts))
        else:
            rows = [backend.encode(*sides) for sides in given]
        encoded = {"input_ids": [row.ids for row in rows]}
        if self.gives_types:
            encoded["token_type_ids"] = [row.type_ids for row in rows]
        return encoded


def read_tokenizer(folder: Path) -> FileTokenizer | None:
    """The tokenizer that was saved in a folder; None where its files leave something to transformers.

    Raises MissingExtra without the `tokenizers` library, DataError for a file that it can't read.
    """
    if not (folder / "tokenizer_config.json").is_file():
        return None
    config = read_json(folder / "tokenizer_config.json", dict[str, Any])
    path = folder / "tokenizer.json"
    if not path.is_file() or config.get("padding_side") is None or config.get("pad_token") is None:
        return None
    tokenizers = require("tokenizers", extra="onnx")
    try:
        backend = tokenizers.Tokenizer.from_file(str(path))
    except Exception as error:
        raise DataError(f"{path}: the tokenizers library can't read it ({error}); save the tokenizer again") from error
    if config["padding_side"] not in SIDES or config.get("truncation_side", "right") not in SIDES:
        raise RunError(f"{path}: padding_side is neither left nor right in tokenizer_config.json; copy the folder again")
    pad = config["pad_token"]
    written = pad.get("content") if isinstance(pad, dict) else pad
    if not isinstance(written, str) or backend.token_to_id(written) is None:
        raise RunError(f"{path}: pad_token is none of its tokens in tokenizer_config.json; copy the folder again")
    return FileTokenizer(backend, config)
