"""A base → encoder with a classification head, and its tokenizer; offline where the base allows it."""

import logging
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import tokenizers
import torch
from safetensors import SafetensorError
from tokenizers.processors import TemplateProcessing
from transformers import AutoModelForSequenceClassification, AutoTokenizer, PreTrainedTokenizerFast
from transformers.utils import logging as transformers_logging

from rankwise.encoders.base import Base
from rankwise.encoders.describe import describe
from rankwise.encoders.encoder import Encoder
from rankwise.encoders.family import Config
from rankwise.errors import ModelError, require
from rankwise.model.classifier import check_finite, copy_misaligned
from rankwise.system.hub import is_reachable

ONE_LABEL = "single_label_classification"


def load_tokenizer(base: Base) -> Any:
    """The base's tokenizer; one that has no padding token, as a decoder's, pads with the token that ends a text.

    Raises ModelError when there is none, or when it cannot pad.
    """
    with quiet(), _explained(base, "tokenizer"):
        tokenizer = AutoTokenizer.from_pretrained(base.location, revision=base.revision, local_files_only=_local_only(base))
    _check_vocabulary(base, tokenizer)
    if tokenizer.pad_token_id is None:
        if tokenizer.eos_token_id is None:
            none = f"{base.name}: its tokenizer has no padding token, and none that ends a text"
            raise ModelError(f"{none}; name one in its tokenizer_config.json: pad_token")
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def tokenizer_in(folder: Path) -> Any:
    """The tokenizer that a run's folder has. Raises ModelError."""
    return load_tokenizer(Base(folder.name, None, str(folder), None, None))


def load_encoder(
    base: Base,
    classes: Sequence[str],
    *,
    seed: int,
    quantize: str = "none",
    skip_modules: Sequence[str] = (),
    problem_type: str = ONE_LABEL,
    config: Config | None = None,
) -> tuple[Any, tuple[str, ...]]:
    """The base with a classification head for `classes`, in fp32, and the names of its newly initialised tensors.

    New tensors are drawn from `seed`, leaving torch's generator as it was. `quantize="nf4"` keeps linear layers in 4 bits,
    but for `skip_modules`. `problem_type` is what transformers calls the task. `config` is the base's config.json, where it
    was read already. Raises ModelError when the base can't be loaded, and where its weights and its config.json are not of
    one encoder: only a head may be new.
    """
    with quiet():
        more = {"quantization_config": _nf4(skip_modules)} if quantize == "nf4" else {}
    with quiet(), _explained(base, "model"), torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        model, info = AutoModelForSequenceClassification.from_pretrained(
            base.location,
            revision=base.revision,
            local_files_only=_local_only(base),
            dtype=torch.float32,
            output_loading_info=True,
            ignore_mismatched_sizes=True,
            num_labels=len(classes),
            id2label=dict(enumerate(classes)),
            label2id={name: number for number, name in enumerate(classes)},
            problem_type=problem_type,
            return_dict=True,
            output_hidden_states=False,
            output_attentions=False,
            **more,
        )
    config = config or {**model.config.to_dict(), "quantization_config": None}  # which is ours
    encoder = describe(config, name=base.name, classes=len(classes))
    _read_whole_texts(model, encoder, base)
    _attend_in_full(model)
    _check_tensors(encoder, info["missing_keys"], info["unexpected_keys"], info["mismatched_keys"])
    check_finite(model.named_parameters(), base.name)
    copy_misaligned((*model.parameters(), *model.buffers()))
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False  # which repacks 4-bit weights at an evaluation: these pass no gradient
    new = {*info["missing_keys"], *(entry[0] for entry in info["mismatched_keys"])}
    return model, tuple(sorted(new))


def _read_whole_texts(model: Any, encoder: Encoder, base: Base) -> None:
    """Let a decoder keep nothing for tokens to come, and know which token is padding, before which its class reads a text."""
    text = model.config.get_text_config()
    if encoder.traits.causal or not encoder.traits.pools:
        model.config.use_cache = text.use_cache = False
    if encoder.traits.causal:
        model.config.pad_token_id = text.pad_token_id = load_tokenizer(base).pad_token_id


def _attend_in_full(model: Any) -> None:
    """Let attention that is sparse for long texts alone be full for all.

    With transformers 5.23 a BigBird is sparse until it has read a short text, and full from then on: what it says of a long
    one would depend on what came before.
    """
    for module in model.modules():
        if hasattr(module, "set_attention_type"):
            module.set_attention_type("original_full")


def check_match(tokenizer: Any, model: Any, name: str) -> None:
    """Raises ModelError when the tokenizer can give ids that the encoder has no embedding for."""
    if len(tokenizer) > (rows := model.get_input_embeddings().weight.shape[0]):
        raise ModelError(
            f"{name}: the tokenizer has {len(tokenizer):,} tokens, the encoder embeds {rows:,}; they do not belong together"
        )


def match_segments(tokenizer: Any, encoder: Encoder) -> None:
    """Let the tokenizer of an encoder that embeds one segment only give no segment ids: its pairs are told by separators."""
    if encoder.config.get("type_vocab_size") == 1:
        tokenizer.model_input_names = [name for name in tokenizer.model_input_names if name != "token_type_ids"]


def reading_apart(tokenizer: Any) -> Any:
    """The same tokenizer, but that both texts of a pair have the special tokens of a text alone, and segment ids.

    Of no architecture's class, for such put their own template in the place of the saved one.
    """
    (none, one) = tokenizer(["", "a"], return_attention_mask=False, verbose=False)["input_ids"]
    before = next(place for place, (left, right) in enumerate(zip(none, one, strict=False)) if left != right)
    marks = tokenizer.convert_ids_to_tokens(none)
    alone = [*marks[:before], "$A", *marks[before:]]
    backend = tokenizers.Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
    backend.post_processor = TemplateProcessing(
        single=alone,
        pair=[*alone, *(f"{'$B' if part == '$A' else part}:1" for part in alone)],
        special_tokens=list(zip(marks, none, strict=True)),
    )
    kept = ("model_max_length", "padding_side", "truncation_side", "pad_token_type_id", "clean_up_tokenization_spaces")
    made: Any = PreTrainedTokenizerFast
    return made(
        tokenizer_object=backend,
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
        **{name: getattr(tokenizer, name) for name in kept if hasattr(tokenizer, name)},
        **tokenizer.special_tokens_map,
    )


def longest_text(tokenizer: Any, encoder: Encoder, *, prefix: int = 0) -> int:
    """The most tokens a text may have, special ones included: the tokenizer's limit or the encoder's, the smaller.

    `prefix` virtual tokens take their positions first.
    """
    return int(min(tokenizer.model_max_length, (encoder.longest or 1_000_000) - prefix))


def _check_tensors(
    encoder: Encoder,
    missing: Iterable[str],
    unexpected: Iterable[str],
    mismatched: Iterable[tuple[str, Sequence[int], Sequence[int]]],
) -> None:
    """Raises ModelError where a checkpoint's tensors are not those of its config.json, but for the head and the pooler."""
    projection = {name for name, _ in encoder.head[-1].tensors}
    for name, stored, expected in sorted(mismatched):
        if name not in projection:
            shapes = " by ".join(map(str, stored)), " by ".join(map(str, expected))
            raise ModelError(
                f"{encoder.name}: {name} is {shapes[0]} in the checkpoint, {shapes[1]} by config.json; "
                "take the config.json that was saved with these weights"
            )
    pooler = {name for part in encoder.pooler for name, _ in part.tensors}
    body = {name for part in encoder.body for name, _ in part.tensors} - pooler
    if lacking := sorted(body & set(missing)):
        raise ModelError(
            f"{encoder.name}: its checkpoint lacks {_some(lacking)}, which config.json tells of and which would be random; "
            "take the config.json that was saved with these weights, or a checkpoint that has them"
        )
    root = f"{encoder.root}."  # which headless checkpoints leave out
    lists = tuple({f"{path.removeprefix(root).partition('.')[0]}." for path in encoder.layer_paths})
    if idle := sorted(name for name in unexpected if name.removeprefix(root).startswith(lists)):
        raise ModelError(
            f"{encoder.name}: its checkpoint has {_some(idle)}, for which config.json ({encoder.layers} layers) has no "
            "place; take the config.json that was saved with these weights"
        )


def _some(names: Sequence[str]) -> str:
    """The first of some names, and how many more there are."""
    return ", ".join(names[:3]) + (f" and {len(names) - 3:,} more" if len(names) > 3 else "")


def _check_vocabulary(base: Base, tokenizer: Any) -> None:
    """Raises ModelError for a tokenizer that transformers made up where a folder has none: it knows no word."""
    if not set(tokenizer.get_vocab()) - set(tokenizer.all_special_tokens):
        files = " and ".join(sorted(set(type(tokenizer).vocab_files_names.values()) - {"tokenizer.json"}))
        raise ModelError(
            f"{base.name}: no tokenizer's files, so every word would be unknown; expected tokenizer.json or {files} beside "
            "the weights: AutoTokenizer.from_pretrained(WHERE_THEY_ARE_FROM).save_pretrained(FOLDER)"
        )


def _local_only(base: Base) -> bool:
    return base.hub is None or base.hub != base.location or not is_reachable()


def _nf4(skip_modules: Sequence[str]) -> Any:
    require("bitsandbytes", extra="qlora")
    from transformers import BitsAndBytesConfig

    return BitsAndBytesConfig(  # type: ignore[no-untyped-call]
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.float32,
        llm_int8_skip_modules=list(skip_modules),
    )


@contextmanager
def _explained(base: Base, what: str) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError, UnpicklingError) as error:
        if base.hub == base.location and _local_only(base):
            raise ModelError(
                f"base '{base.name}': its {what} ({base.location}) is not cached and the hub can't be reached from here; "
                "try again with a network, give a local folder, or take the embedded one: --set base=minilm"
            ) from error
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ModelError(f"{base.name}: can't load the {what} from '{base.location}': {reason}") from error


@contextmanager
def quiet() -> Iterator[None]:
    """transformers reports a new head as a warning and loading as a progress bar, bitsandbytes its missing kernels as a
    warning, and peft uses an attribute that transformers has renamed and warns of norms, which LN tuning is about; none is
    the user's doing.
    """
    bitsandbytes = logging.getLogger("bitsandbytes")
    with warnings.catch_warnings(), ExitStack() as stack:
        warnings.filterwarnings("ignore", category=FutureWarning, module="transformers")
        warnings.filterwarnings("ignore", message="Unsupported layer type", category=UserWarning, module="peft")
        stack.callback(bitsandbytes.setLevel, bitsandbytes.level)
        stack.callback(transformers_logging.set_verbosity, transformers_logging.get_verbosity())
        if transformers_logging.is_progress_bar_enabled():
            stack.callback(transformers_logging.enable_progress_bar)
        bitsandbytes.setLevel(logging.ERROR)
        transformers_logging.set_verbosity_error()  # type: ignore[no-untyped-call]
        transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
        yield
