"""A policy as an operator writes it in a shell: FIELD=VALUE, beside a file; and the same the other way round."""

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from gateway.errors import InvalidRequestError
from gateway.policies import TeamPolicy
from gateway.teams.mistakes import first_mistake
from gateway.yaml_source import ConfigError, YamlSource


def policy_of(file: Path | None, fields: Sequence[str], before: TeamPolicy | None = None) -> TeamPolicy:
    """Return the file's policy, or that from before, with the fields set, each as in `budget.usd=5`.

    Raises:
        InvalidRequestError: naming the field and what is expected.
        ConfigError: the file can't be read.
    """
    whole = _of_file(file) if file else before.model_dump(exclude_unset=True) if before else {}
    for field in fields:
        whole = _with(whole, field)
    try:
        return TeamPolicy.model_validate(whole)
    except ValidationError as error:
        field, said = first_mistake(error.errors())
        raise InvalidRequestError(said, field) from None


def _of_file(file: Path) -> Mapping[Any, Any]:
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file}: {getattr(error, 'strerror', None) or 'expected UTF-8 text'}") from None
    values = YamlSource.of(text, str(file)).values(os.environ)
    if not isinstance(values, dict):
        raise ConfigError(f"{file}:1: expected fields with values, as in `budget: {{usd: 5}}`")
    return values


def _with(whole: Mapping[Any, Any], field: str) -> Mapping[Any, Any]:
    path, given, text = field.partition("=")
    if not given or not path:
        raise InvalidRequestError("expected FIELD=VALUE, as in budget.usd=5", field)
    return _set(whole, path.split("."), _value(path, text), path)


def _value(path: str, text: str) -> object:
    try:
        return YamlSource.of(text, path).values({}) if text.strip() else ""
    except ConfigError:
        raise InvalidRequestError(
            f"expected a value such as 5, month, [a, b] or {{80: 1000}}, not {text}", path
        ) from None


def _set(whole: Mapping[Any, Any], steps: Sequence[str], value: object, path: str) -> Mapping[Any, Any]:
    first, *rest = steps
    if not rest:
        return {**whole, first: value}
    inner = whole.get(first)
    if not isinstance(inner, dict | None):
        raise InvalidRequestError(f"{first} is not a single object; set it as a whole, as in {first}={{...}}", path)
    return {**whole, first: _set(inner or {}, rest, value, path)}


def fields_of(policy: TeamPolicy) -> Iterator[tuple[str, object]]:
    """Yield each field that says something, with its value."""
    yield from _flat(policy.model_dump(mode="json", exclude_defaults=True), "")


def _flat(value: object, path: str) -> Iterator[tuple[str, object]]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _flat(inner, f"{path}.{name}" if path else str(name))
    elif isinstance(value, list) and any(isinstance(item, dict) for item in value):
        for i, inner in enumerate(value):
            yield from _flat(inner, f"{path}.{i}")
    else:
        yield path, value
