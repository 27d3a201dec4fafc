"""A schema for the part of the Compose specification that docker-compose.yml uses; what it does not name is refused.

Stricter than Compose's own, which this project does not carry: images name a version, ports an address, limits a unit.
"""

from typing import Any

Schema = dict[str, Any]
_TEXT: Schema = {"type": "string", "minLength": 1}
_NAME: Schema = {"type": "string", "pattern": r"^[a-z][a-z0-9-]*$"}
_DURATION: Schema = {"type": "string", "pattern": r"^\d+(ms|s|m|h)$"}
_SIZE: Schema = {"type": "string", "pattern": r"^\d+[kmg]$"}
_TEXTS: Schema = {"type": "array", "items": _TEXT, "minItems": 1}
# A variable with a default, or one that stops the start with a message where it is not set.
_VARIABLE = r"\$\{[A-Z_]+:[-?][^}]+\}"


def _object(properties: Schema, *required: str) -> Schema:
    return {"type": "object", "additionalProperties": False, "properties": properties, "required": list(required)}


_HEALTH = _object({"test": _TEXTS, "interval": _DURATION, "timeout": _DURATION, "retries": {"type": "integer"}}, "test")
_CONDITIONS = ["service_started", "service_healthy", "service_completed_successfully"]
_DEPENDS: Schema = {
    "oneOf": [
        {"type": "array", "items": _NAME, "uniqueItems": True},
        {"type": "object", "additionalProperties": _object({"condition": {"enum": _CONDITIONS}}, "condition")},
    ]
}
_SERVICE = _object(
    {
        "build": _object({"context": _TEXT}, "context"),
        "image": {"type": "string", "pattern": r"^[a-z0-9./-]+:[\w.-]+$"},
        "command": _TEXTS,
        "user": {"type": "string", "pattern": r"^\d+:\d+$"},
        "environment": {
            "type": "object",
            "propertyNames": {"pattern": "^[A-Z][A-Z0-9_]*$"},
            "additionalProperties": {"type": "string", "pattern": rf"^({_VARIABLE}|[^$]*)$"},
        },
        "volumes": {"type": "array", "items": {"type": "string", "pattern": r"^(\./)?[\w./-]+:/[\w./-]+(:ro)?$"}},
        "tmpfs": {"type": "array", "items": {"type": "string", "pattern": r"^/\w+(:\w+=\w+(,\w+=\w+)*)?$"}},
        "ports": {"type": "array", "items": {"type": "string", "pattern": rf"^{_VARIABLE}:\d+$"}},
        "expose": {"type": "array", "items": {"type": "string", "pattern": r"^\d+$"}},
        "healthcheck": _HEALTH,
        "depends_on": _DEPENDS,
        "logging": _object({"driver": _TEXT, "options": {"type": "object", "additionalProperties": _TEXT}}, "driver"),
        "cap_drop": _TEXTS,
        "security_opt": _TEXTS,
        "read_only": {"type": "boolean"},
        "init": {"type": "boolean"},
        "restart": {"enum": ["no", "always", "on-failure", "unless-stopped"]},
        "stop_grace_period": _DURATION,
        "mem_limit": _SIZE,
    },
    "image",
)
SCHEMA: Schema = {
    **_object(
        {
            "services": {"type": "object", "propertyNames": _NAME, "additionalProperties": _SERVICE},
            "volumes": {"type": "object", "propertyNames": _NAME, "additionalProperties": {"type": "null"}},
        },
        "services",
    ),
    "patternProperties": {"^x-": {}},
}
