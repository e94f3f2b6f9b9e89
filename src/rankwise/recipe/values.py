"""What specs are made of: a frozen model that knows every key it may have, shares, counts."""

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field


class Spec(BaseModel):
    """A frozen part of a recipe: an unknown key is an error, and the text under a field is its documentation."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, validate_default=True)


def share(value: Any) -> Any:
    """Read `6%` as 0.06; what is no such text passes as it is."""
    if isinstance(value, str) and value.strip().endswith("%"):
        try:
            return float(value.strip()[:-1]) / 100
        except ValueError:
            raise ValueError(f"'{value}' is not a percentage; write it like 6%") from None
    return value


def share_or_count(value: Any) -> Any:
    """Read `6%` as 0.06, a share below 1; a number of 1 or more is a count, and must be whole."""
    number = share(value)
    if isinstance(number, int | float) and not isinstance(number, bool) and number >= 1:
        if isinstance(value, str):
            raise ValueError(f"'{value}' is not below 100 %, and a count is written without %")
        if number != int(number):
            raise ValueError(f"{number:g} is neither a share below 1, such as 10%, nor a whole number")
    return number


def one_or_many(value: Any) -> Any:
    """Read a single name or number as a list of one."""
    return (value,) if isinstance(value, (str, int)) and not isinstance(value, bool) else value


def alone(value: Any) -> Any:
    """Read a list of one as that one."""
    if isinstance(value, (list, tuple)) and not value:
        raise ValueError("an empty list; expected a column, or several")
    return value[0] if isinstance(value, (list, tuple)) and len(value) == 1 else value


Share = Annotated[float, BeforeValidator(share), Field(gt=0, lt=1)]
ShareOrCount = Annotated[float, BeforeValidator(share_or_count), Field(ge=0)]
Column = str | int
Columns = Annotated[tuple[Column, ...], BeforeValidator(one_or_many)]
LabelColumns = Annotated[Column | tuple[Column, ...] | None, BeforeValidator(alone)]
Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1)]
Rate = Annotated[float, Field(gt=0, lt=10)]
Seed = Annotated[int, Field(ge=0, lt=2**31)]
