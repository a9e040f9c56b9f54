"""Reads a TOML file into a `Configuration`, or says everything that is wrong with it at once.

Rules:
- No fault hides another: unknown keys, wrong kinds and contradictions are reported together.
- Where a key is faulty its default stands in for the checks that compare it with others, and a
  contradiction that only exists because of that is not reported.
- `[webhook]` belongs to a later version: refused by name, because a webhook that is configured
  and not there would be a kill nobody can pull.
"""

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from sidecar.config.effective import to_thresholds
from sidecar.config.section import NAMED
from sidecar.config.sections import Configuration
from sidecar.config.suggestions import did_you_mean
from sidecar.config.values import TomlFloat, shown
from sidecar.core.denial import FieldFault
from sidecar.core.thresholds import find_faults

FILE_BYTES_MAX: Final = 4 * 1024 * 1024
_SECRET_WORDS: Final = ("secret", "password", "token")
_SECTION_ONLY: Final = ("model_type", "model_attributes_type", "dict_type")


class ConfigurationError(Exception):
    """The file cannot be used. `faults` names every fault: key, rule, value, way out."""

    def __init__(self, source: str, faults: list[FieldFault]) -> None:
        """`source` is the file's name as the person wrote it."""
        lines = "\n".join(f"  {item.field}: {item.description}" for item in faults)
        count = "1 fault" if len(faults) == 1 else f"{len(faults)} faults"
        super().__init__(f"{source}: {count}\n{lines}")
        self.source = source
        self.faults = faults


def load(path: Path) -> Configuration:
    """Return the configuration in the file at `path`. Raises ConfigurationError."""
    try:
        with path.open("rb") as file:
            content = file.read(FILE_BYTES_MAX + 1)
    except OSError as problem:
        found = f"cannot be read: {problem.strerror} (check the path given to --config)"
        raise ConfigurationError(str(path), [FieldFault("file", found)]) from problem
    if len(content) > FILE_BYTES_MAX:
        found = f"must be at most {FILE_BYTES_MAX} bytes"
        raise ConfigurationError(str(path), [FieldFault("file", found)])
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as problem:
        found = f"must be UTF-8, byte {problem.start} is not"
        raise ConfigurationError(str(path), [FieldFault("file", found)]) from problem
    return parse(text, source=str(path))


def parse(text: str, *, source: str = "configuration") -> Configuration:
    """Return the configuration that the TOML `text` says. Raises ConfigurationError."""
    try:
        raw = tomllib.loads(text, parse_float=TomlFloat)
    except tomllib.TOMLDecodeError as problem:
        raise ConfigurationError(
            source, [FieldFault("file", f"is no TOML: {problem}")]
        ) from problem
    except ValueError as problem:  # a whole number of thousands of digits
        raise ConfigurationError(source, [FieldFault("file", str(problem))]) from problem
    faults: list[FieldFault] = []
    configuration, faulty = _validate(raw, faults)
    faults.extend(
        found
        for found in find_faults(to_thresholds(configuration))
        if not any(key in found.field or key in found.description for key in faulty)
    )
    if faults:
        raise ConfigurationError(source, faults)
    return configuration


def _validate(raw: dict[str, Any], faults: list[FieldFault]) -> tuple[Configuration, list[str]]:
    """Return the configuration without its faulty keys, and their paths; faults are appended."""
    faulty: list[str] = []
    while True:
        try:
            return Configuration.model_validate(raw), faulty
        except ValidationError as problem:
            earlier = tuple(faulty)
            for error in problem.errors(include_url=False):
                parts = [part for part in error["loc"] if part != "[key]"]
                path = _path(parts)
                if error["type"] == "missing":
                    _take_out(raw, parts[:-1])
                else:
                    _take_out(raw, parts)
                faulty.append(path)
                if not any(f"{key}.".startswith(f"{path}.") for key in earlier):
                    # Else it is only missed, or contradicted, because a faulty key was taken out.
                    faults.append(FieldFault(path, _describe(error, parts)))


def _take_out(raw: dict[str, Any], parts: list[str | int]) -> None:
    """Remove the value at `parts`; each pass of `_validate` removes something, so it ends."""
    holder: Any = raw
    for part in parts[:-1]:
        if not isinstance(holder, dict) or part not in holder:
            return
        holder = holder[part]
    if isinstance(holder, dict):
        holder.pop(parts[-1], None)


def _describe(error: ErrorDetails, parts: list[str | int]) -> str:
    kind = error["type"]
    if kind == "haltline":
        return error["msg"]
    if kind == "extra_forbidden":
        return _describe_unknown(parts)
    if kind == "missing":
        return "is required in this section"
    if kind in _SECTION_ONLY:
        way_out = f"write [{_path(parts)}] above its keys"
        return f"must be a section, was {shown(error['input'])} ({way_out})"
    return f"{error['msg']}, was {shown(error['input'])}"


def _describe_unknown(parts: list[str | int]) -> str:
    word = str(parts[-1])
    if any(secret in word.lower() for secret in _SECRET_WORDS):
        return "is unknown: secrets are read from the environment only (KILL_SWITCH_SECRET)"
    known = known_keys()
    here = _model_at(parts[:-1])
    siblings = list(here.model_fields) if here else []
    guess = did_you_mean(word, siblings)
    if guess:
        return f"is unknown ({guess})"
    elsewhere = [section for section, names in known.items() if word in names]
    if elsewhere:
        return f"is unknown here (it belongs in [{elsewhere[0]}])"
    return f"is unknown (known here: {', '.join(siblings)})"


def known_keys() -> dict[str, tuple[str, ...]]:
    """Return each section's keys, sections named as in the file."""
    found: dict[str, tuple[str, ...]] = {}
    for name in Configuration.model_fields:
        model = _model_at([name, "NAME"] if name in NAMED else [name])
        if model is not None:
            found[name] = tuple(model.model_fields)
    return found


def _model_at(parts: list[str | int]) -> type[BaseModel] | None:
    """Return the model that describes the section at `parts`."""
    model: type[BaseModel] = Configuration
    names = iter(parts)
    for part in names:
        field = model.model_fields.get(str(part))
        if field is None:
            return None
        inner = [item for item in _types_in(field.annotation) if issubclass(item, BaseModel)]
        if not inner:
            return None
        if getattr(field.annotation, "__origin__", None) is dict:
            next(names, None)
        model = inner[0]
    return model


def _types_in(annotation: object) -> Iterator[type]:
    if isinstance(annotation, type) and not get_args(annotation):
        yield annotation
    for argument in get_args(annotation):
        yield from _types_in(argument)


def _path(parts: list[str | int]) -> str:
    """Return the path as a person writes it: `symbols."AAPL".multiplier`."""
    out: list[str] = []
    for at, part in enumerate(parts):
        quoted = at == 1 and parts[0] in NAMED
        out.append(f'"{part}"' if quoted else str(part))
    return ".".join(out)
