"""Named variants of one step, such as networks, each with its options and their defaults.

Decorators on the variants fill a registry; the check of the config reads it, and jobs look variants up in it.
A variant of the user's own is in a module of the user; the config names it as `package.module:function`.
"""

from __future__ import annotations

import difflib
import importlib
import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

from . import DataError

FOREIGN = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")  # package.module:function


@dataclass(frozen=True)
class Option:
    """A setting of a variant: its default, what it means, and the rest of its JSON schema."""

    default: Any
    about: str
    schema: Mapping[str, Any]


def option(default: Any, about: str, **schema: Any) -> Option:
    """An Option; schema: keywords of JSON schema, such as type, minimum, enum."""
    return Option(default, about, schema)


@dataclass(frozen=True)
class Variant:
    """One registered function. more: further properties given to its decorator, such as a network's divisor."""

    function: Callable[..., Any]
    options: Mapping[str, Option] = field(default_factory=dict)
    more: Mapping[str, Any] = field(default_factory=dict)

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        """Call the function; options that are not given take their defaults. Raises DataError for an option that the
        function does not have."""
        known = inspect.signature(self.function).parameters
        free = any(each.kind is inspect.Parameter.VAR_KEYWORD for each in known.values())
        unknown = [] if free else [name for name in options if name not in known]
        if unknown:
            has = ", ".join(list(known)[len(arguments) :]) or "none"
            raise DataError(f"{unknown[0]!r} is no option of {self.function.__name__}; it has {has}")
        defaults = {name: each.default for name, each in self.options.items()}
        return self.function(*arguments, **{**defaults, **options})


class Registry:
    """Variants by name. key: the config key that error messages name."""

    def __init__(self, key: str) -> None:
        self.key = key
        self.variants: dict[str, Variant] = {}

    def register(
        self, name: str, options: Mapping[str, Option] | None = None, **more: Any
    ) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """Decorator: register a function as `name`; it must take every option as an argument of that name."""

        def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
            self.variants[name] = Variant(function, options or {}, more)
            return function

        return decorate

    def check(self, name: str, key: str = "") -> None:
        """Raise DataError, naming the config's `key`, if `name` is neither registered nor of the form
        `package.module:function`."""
        if name not in self.variants and not FOREIGN.fullmatch(name):
            near = difflib.get_close_matches(name, list(self.variants), 1, 0.5)
            hint = f"did you mean {near[0]!r}?" if near else "or package.module:function of your own"
            known = ", ".join(self.variants)
            raise DataError(f"{key or self.key}: {name!r} is not known; known: {known}; {hint}")

    def get(self, name: str) -> Variant:
        """The variant of this name; a `package.module:function` is imported. Raises DataError."""
        self.check(name)
        if name in self.variants:
            return self.variants[name]
        module, _, function = name.partition(":")
        found = getattr(load(module, self.key), function, None)
        if not callable(found):
            raise DataError(f"{self.key}: module {module} has no function {function!r}")
        registered = [each for each in self.variants.values() if each.function is found]
        return registered[0] if registered else Variant(found)

    def options(self) -> dict[str, Option]:
        """The options of all variants together."""
        return {name: each for variant in self.variants.values() for name, each in variant.options.items()}

    def options_schema(self) -> dict[str, Any]:
        """JSON schema of each option of any variant."""
        return {name: {"description": each.about, **each.schema} for name, each in self.options().items()}


def module_of(name: str) -> str | None:
    """The module of `package.module:function`; None for a plain name."""
    module, _, function = name.partition(":")
    return module if function else None


def load(module: str, key: str) -> ModuleType:
    """Import a module that the config names. Raises DataError, with the reason, where it cannot be imported."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise DataError(
            f"{key}: {module} cannot be imported ({error}); expected a module in the working folder, on PYTHONPATH or "
            "installed"
        ) from None


class lazy:
    """A module that is imported at the first access to one of its attributes: Snakemake reads the registries at every
    start, when no network is built or trained."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        return getattr(importlib.import_module(self._name), attribute)
