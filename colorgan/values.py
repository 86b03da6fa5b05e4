"""Check every value of a config against the signatures of what it builds; nothing is built, read or written.

A node with a `_target_` is checked by the annotations of its constructor, any other by those of a dataclass that lists
its keys. Ranges are declared there too (`colorgan/ranges.py`). Where a field holds something else than the config, a
second annotation says what the config may have: `steps: Annotated[int, Count | None]`.
"""

import inspect
import math
import re
import types
import typing
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from hydra.utils import get_object
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import InterpolationToMissingValueError, MissingMandatoryValue

from colorgan.ranges import Range

_INTERPOLATION = re.compile(r"\$\{(\.*)([\w.]+)\}")
_HYDRA = {"_partial_": bool, "_recursive_": bool, "_convert_": Literal["none", "partial", "object", "all"]}
_WORDS = {
    int: "a whole number", float: "a number", bool: "true or false", str: "text", type(None): "null", Path: "a path",
    Any: "a number or text",
}  # fmt: skip
_LISTS, _MAPPINGS = (list, tuple, Sequence), (dict, Mapping)


def check_options(node: DictConfig, options: type, key: str = "") -> None:
    """Check the keys of a node against the fields of a dataclass, and all that is below them.

    Args:
        node: its missing values are passed over.
        options: the dataclass.
        key: full key of the node; empty for a whole config.

    Raises:
        ValueError: names the first key whose value cannot be, and says what is allowed.
    """
    hints = typing.get_type_hints(options, include_extras=True)
    for name, child in _children(node, key, hints, f"{key or 'the config'} takes"):
        check_value(node[name], hints[name], child)
    for field in fields(options):
        if field.name not in node and field.default is MISSING and field.default_factory is MISSING:
            raise ValueError(f"{key}.{field.name}".lstrip(".") + " is missing: give it a value")


def check_value(value: Any, hint: Any, key: str) -> None:
    """Check one value, and all that is below it.

    Raises:
        ValueError: names the key.
    """
    options = _options(hint)
    if isinstance(value, DictConfig) and "_target_" in value:
        if any(option is Any or not _is_plain(option) for option in options):
            return _check_target(value, options, key)
    elif isinstance(value, DictConfig):
        if Any in options:
            return None
        for option in options:
            if is_dataclass(option) and isinstance(option, type):
                return check_options(value, option, key)
            if typing.get_origin(option) in _MAPPINGS:
                inner = typing.get_args(option)[1]
                for name, child in _children(value, key, None, ""):
                    check_value(value[name], inner, child)
                return None
    elif isinstance(value, ListConfig):
        for option in options:
            if (inner_of := _elements(option, len(value))) is not None:
                for index, inner in enumerate(inner_of):
                    check_value(value[index], inner, f"{key}[{index}]")
                return None
    elif any(_fits(value, option) for option in options):
        return None
    shown = OmegaConf.to_container(value) if isinstance(value, DictConfig | ListConfig) else value
    raise ValueError(f"{key}={shown!r} must be {' or '.join(dict.fromkeys(map(_words, options)))}")


def _options(hint: Any) -> list[Any]:
    """List the alternatives of an annotation."""
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return [option for member in typing.get_args(hint) for option in _options(member)]
    if typing.get_origin(hint) is Annotated:
        others = [other for other in hint.__metadata__ if not isinstance(other, Range)]
        return _options(others[0]) if others else [hint]
    return [Any if isinstance(hint, typing.TypeVar) else hint]


def _base(option: Any) -> Any:
    return typing.get_args(option)[0] if typing.get_origin(option) is Annotated else option


def _is_plain(option: Any) -> bool:
    """Tell numbers, text, lists and mappings from objects."""
    return _base(option) in _WORDS or typing.get_origin(option) in (Literal, *_LISTS, *_MAPPINGS) or option in _LISTS


def _fits(value: Any, option: Any) -> bool:
    kind = _base(option)
    if kind is not option:
        return _fits(value, kind) and all(value in bound for bound in option.__metadata__)
    if typing.get_origin(kind) is Literal:
        return any(value == allowed and type(value) is type(allowed) for allowed in typing.get_args(kind))
    if kind is Any or kind is float:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        return math.isfinite(value) if number else kind is Any
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if kind is Path:
        return isinstance(value, str) and bool(value)
    return kind in _WORDS and isinstance(value, kind)


def _elements(option: Any, count: int) -> list[Any] | None:
    """List the annotations of so many elements; None where the option is no list of them."""
    origin, inner = typing.get_origin(option), typing.get_args(option)
    if option is Any or option in _LISTS:
        return [Any] * count
    if origin is tuple and inner[-1:] != (...,):
        return list(inner) if len(inner) == count else None
    return [inner[0]] * count if origin in _LISTS else None


def _words(option: Any) -> str:
    """Say what an annotation allows."""
    origin, inner = typing.get_origin(option), typing.get_args(option)
    if origin is Annotated:
        return f"{_words(inner[0])} {' and '.join(map(str, option.__metadata__))}"
    if origin is Literal:
        return ", ".join("null" if value is None else str(value) for value in inner)
    if origin is tuple and inner[-1:] != (...,):
        return f"a list of {len(inner)}: {', '.join(map(_words, inner))}"
    if origin in _LISTS:
        return f"a list, each {' or '.join(map(_words, _options(inner[0])))}"
    if origin in _MAPPINGS or is_dataclass(option):
        return "a mapping"
    return _WORDS.get(option, f"a mapping whose _target_ makes a {getattr(option, '__name__', option)}")


def _check_target(node: DictConfig, options: list[Any], key: str) -> None:
    """Check the arguments of what a node builds."""
    found = _target(node, key)
    wanted = tuple(option for option in options if isinstance(option, type) and not _is_plain(option))
    any_class = Any in options or any(not isinstance(option, type) and not _is_plain(option) for option in options)
    if isinstance(found, type) and not any_class and not issubclass(found, _no_protocols(wanted)):
        raise ValueError(f"{key}._target_={node._target_} must be a {' or '.join(kind.__name__ for kind in wanted)}")
    hints, defaults, takes_more = _arguments(found)
    known, lent = {**hints, **_HYDRA, "_target_": str}, _lent(node)
    for name, child in _children(node, key, None if takes_more else {*known, *lent}, f"{found.__name__} takes"):
        is_default = name in defaults and node[name] == defaults[name] and type(node[name]) is type(defaults[name])
        if (name in known or name not in lent) and not is_default:
            check_value(node[name], known.get(name, Any), child)


def _no_protocols(wanted: tuple[type, ...]) -> tuple[type, ...]:
    return tuple(object if getattr(kind, "_is_protocol", False) else kind for kind in wanted)


def _target(node: DictConfig, key: str) -> Any:
    try:
        found = get_object(node._target_)
    except Exception as error:  # importing runs whatever a module has in it
        raise ValueError(f"{key}._target_={node._target_!r} cannot be imported") from error
    if not callable(found):
        raise ValueError(f"{key}._target_={node._target_} must be a class or a function")
    return found


def _children(node: DictConfig, key: str, allowed: Collection[str] | None, takes: str) -> Iterator[tuple[str, str]]:
    """List the keys of a node, each with the full key that a user would set: where its value is taken from."""
    names = [name for name in map(str, node) if not _is_missing(node, name)]
    for name in sorted(names, key=lambda name: allowed is not None and name not in allowed):  # a wrong value first
        child = f"{key}.{name}".lstrip(".")
        if allowed is not None and name not in allowed:
            known = ", ".join(sorted(word for word in allowed if not word.startswith("_")))
            raise ValueError(f"{child} is unknown; {takes} {known}")
        yield name, _origin(node, name, child)


def _is_missing(node: DictConfig, name: str) -> bool:
    try:
        return OmegaConf.is_missing(node, name) or node[name] is ...
    except (MissingMandatoryValue, InterpolationToMissingValueError):
        return True


def _origin(node: DictConfig, name: str, key: str) -> str:
    """Find the key that a value is taken from by interpolation; without one, its own."""
    raw = node._get_node(name)._value()  # type: ignore[union-attr]
    match = _INTERPOLATION.fullmatch(raw) if isinstance(raw, str) else None
    if match is None:
        return key
    dots, path = match.groups()
    return ".".join([*key.split(".")[: -len(dots)], path]) if dots else path


def _lent(node: DictConfig) -> set[str]:
    """List the keys that a node has for its source alone (`build_datamodule`)."""
    source = node._get_node("source") if "source" in node else None
    return set(map(str, source)) if isinstance(source, DictConfig) and isinstance(source._value(), dict) else set()


def _arguments(found: Any) -> tuple[dict[str, Any], dict[str, Any], bool]:
    """List the arguments of a class or function: annotations, defaults, and whether it takes any others too."""
    if not isinstance(found, type):
        return _of_function(found)
    hints: dict[str, Any] = {}
    defaults: dict[str, Any] = {}
    for kind in found.__mro__:
        if "__init__" in vars(kind) and kind is not object:
            own, own_defaults, passes_on = _of_function(vars(kind)["__init__"])
            hints, defaults = {**own, **hints}, {**own_defaults, **defaults}
            if not passes_on:
                return hints, defaults, False
    return hints, defaults, True


def _of_function(function: Callable[..., Any]) -> tuple[dict[str, Any], dict[str, Any], bool]:
    parameters = inspect.signature(function).parameters.values()
    try:
        hints = typing.get_type_hints(function, include_extras=True)
    except (NameError, TypeError):  # names that only type checkers know
        hints = {}
    named = [p for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY) and p.name != "self"]
    defaults = {p.name: p.default for p in named if p.default is not p.empty}
    return {p.name: hints.get(p.name, Any) for p in named}, defaults, any(p.kind is p.VAR_KEYWORD for p in parameters)
