"""The encoder families by model type: every Family that a file of this folder names. A new file here is a new family."""

from importlib import import_module
from pkgutil import iter_modules

from rankwise.encoders.family import Family

FAMILIES: dict[str, Family] = {
    model_type: family
    for module in iter_modules(__path__)
    for family in vars(import_module(f"{__name__}.{module.name}")).values()
    if isinstance(family, Family)
    for model_type in family.model_types
}
