"""The published encoders whose configuration ships with rankwise: planned without a network, called by a short name.

`known.json` has for each what its config.json says of tensors, and its Hugging Face id.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources

from rankwise.encoders.family import Config


@dataclass(frozen=True)
class Known:
    """A published encoder whose configuration ships with rankwise."""

    hub: str
    """Its Hugging Face id."""
    config: Config


_TEXT = (resources.files("rankwise") / "encoders/known.json").read_text("utf-8")
KNOWN: Mapping[str, Known] = {name: Known(**entry) for name, entry in json.loads(_TEXT).items()}
