"""Addresses, which may hold a password, and certificates, as an operator names them; what is wrong is said without it.

What urllib says of a URL that it can't read quotes the URL.
"""

import re
import ssl
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from pydantic import SecretStr

_STORES = ("redis", "rediss", "unix")
_HOST_AND_PORT = re.compile(r"\S*[^\s:\[\]]\S*:([0-9]{1,9})")


def http_url(value: str) -> str:
    """Return an upstream's base URL; raise ValueError where it can't be one."""
    parts = _split(value, "expected a URL such as https://api.openai.com/v1")
    if parts.scheme not in ("http", "https") or not parts.hostname or not value.isprintable() or " " in value:
        raise ValueError("expected a URL such as https://api.openai.com/v1")
    if parts.query or parts.fragment:
        raise ValueError("expected a URL without a query or a fragment")
    if "@" in parts.netloc:
        raise ValueError("expected a URL without a user or a password; a key goes into api_key or headers")
    return value.rstrip("/")


def proxy_url(value: SecretStr) -> SecretStr:
    """Return a proxy's URL; raise ValueError where it can't be one."""
    expected = "expected http://host:port or http://user:password@host:port, with %2F for a / and %23 for a #"
    parts = _split(value.get_secret_value(), expected)
    if parts.scheme != "http" or not parts.hostname or parts.path.strip("/") or parts.query or parts.fragment:
        raise ValueError(expected)
    return value


def store_url(value: SecretStr) -> SecretStr:
    """Return the URL of a Redis; raise ValueError where it can't be one."""
    expected = "expected a URL such as redis://127.0.0.1:6379/0, in a password %2F for a / and %23 for a #"
    parts = _split(value.get_secret_value(), expected)
    if parts.scheme not in _STORES or (parts.scheme != "unix" and not parts.hostname) or parts.fragment:
        raise ValueError(expected)
    return value


def listening(value: str) -> str:
    """Return a host and port to listen on; raise ValueError where they can't be."""
    found = _HOST_AND_PORT.fullmatch(value)
    if found is None:
        raise ValueError("expected host:port, such as 127.0.0.1:9090")
    if not 1 <= int(found[1]) <= 65535:
        raise ValueError("expected a port between 1 and 65535")
    return value


def certificates(value: Path) -> Path:
    """Return a file of certificates; raise ValueError where it can't be one."""
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(value)
    except ssl.SSLError:
        raise ValueError(f"no certificates (PEM) in {value}") from None
    except OSError:
        raise ValueError(f"no file {value}, or one that cannot be read") from None
    return value


def _split(value: str, expected: str) -> SplitResult:
    try:
        parts = urlsplit(value)
        port = parts.port  # raises where it is none
    except ValueError:
        raise ValueError(expected) from None
    if port == 0:
        raise ValueError(f"{expected}, and a port between 1 and 65535")
    return parts
