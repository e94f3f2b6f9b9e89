"""What specs are made of: a frozen model that knows every key it may have, shares, counts."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field


class Spec(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False, validate_default=True
    )


def share(value: Any) -> Any:
    """`6%` → 0.06; numbers pass."""
    if isinstance(value, str) and value.strip().endswith("%"):
        number = value.strip()[:-1]
        try:
            return float(number) / 100
        except ValueError:
            raise ValueError(f"'{value}' is not a percentage; write it like 6%") from None
    return value


def one_or_many(value: Any) -> Any:
    return (value,) if isinstance(value, (str, int)) and not isinstance(value, bool) else value


Share = Annotated[float, BeforeValidator(share), Field(gt=0, lt=1)]
ShareOrCount = Annotated[float, BeforeValidator(share), Field(ge=0)]
Column = str | int
Columns = Annotated[tuple[Column, ...], BeforeValidator(one_or_many)]
Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1)]
