"""Addresses, which may hold a password, and files, as an operator names them; what is wrong is said without it.

What urllib says of a URL that it can't read quotes the URL.
"""

import re
import ssl
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from pydantic import SecretStr, ValidationInfo

_STORES = ("redis", "rediss", "unix")
_HOST_AND_PORT = re.compile(r"\S*[^\s:\[\]]\S*:([0-9]{1,9})")
_MOST_DATABASES = 1 << 31
# What makes a name a path whether there is such a file or not.
_PATH_STARTS = ("/", "./", "../", "~")


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
    unix = parts.scheme == "unix"
    if parts.scheme not in _STORES or unix == bool(parts.hostname) or parts.fragment:
        raise ValueError("expected unix:///path/of/the/socket" if unix and not parts.fragment else expected)
    # The client library takes database 0 where it can't read the number, and finds out late what options it has not.
    if mistake := next(_mistakes_of_store(parts), None):
        raise ValueError(mistake)
    return value


def listening(value: str) -> str:
    """Return a host and port to listen on; raise ValueError where they can't be."""
    found = _HOST_AND_PORT.fullmatch(value)
    if found is None:
        raise ValueError("expected host:port, such as 127.0.0.1:9090")
    if not 1 <= int(found[1]) <= 65535:
        raise ValueError("expected a port between 1 and 65535")
    return value


def _mistakes_of_store(parts: SplitResult) -> Iterator[str]:
    options = parse_qsl(parts.query, keep_blank_values=True)
    numbers = [number for name, number in options if name == "db"]
    if parts.scheme == "unix":
        if not unquote(parts.path).strip("/"):
            yield "expected unix:///path/of/the/socket"
    elif number := unquote(parts.path).removeprefix("/"):
        numbers.append(number)
    if len(numbers) > 1:
        yield "expected one number of a database, behind the last / or as ?db="
    if not all(map(_is_database, numbers)):
        yield "expected the number of a database, as in redis://host:6379/0; names it has none"
    known = {**_OPTIONS, **(_TLS_OPTIONS if parts.scheme == "rediss" else {})}
    for name, given in options:
        if name not in known:
            yield f"an option behind the ? that is not known; expected {', '.join(known)}"
        elif not known[name](given):
            yield f"the option {name} behind the ? has a value that can't be one"


def _is_database(number: str) -> bool:
    return number.isascii() and number.isdecimal() and len(number) <= 10 and int(number) < _MOST_DATABASES


def _is_file(name: str) -> bool:
    return Path(name).is_absolute() and "\0" not in name and Path(name).is_file()


def _is_folder(name: str) -> bool:
    return Path(name).is_absolute() and "\0" not in name and Path(name).is_dir()


_OPTIONS: Mapping[str, Callable[[str], bool]] = {
    "db": _is_database,
    "username": bool,
    "password": bool,
    "client_name": lambda name: name.isascii() and name.isprintable() and " " not in name,
}
_TLS_OPTIONS: Mapping[str, Callable[[str], bool]] = {
    "ssl_ca_certs": _is_file,
    "ssl_ca_path": _is_folder,
    "ssl_certfile": _is_file,
    "ssl_keyfile": _is_file,
    "ssl_password": bool,
    "ssl_cert_reqs": lambda name: name in ("none", "optional", "required"),
    "ssl_check_hostname": lambda name: name in ("true", "false"),
}


def placed(value: Path, info: ValidationInfo) -> Path:
    """Return the path from the folder of the configuration (the context) on, with ~ for a home."""
    if "\0" in str(value):
        raise ValueError("expected a path without a NUL character")
    try:
        path = value.expanduser()
    except RuntimeError:
        raise ValueError("no home is known for the ~ it begins with") from None
    return info.context / path if isinstance(info.context, Path) else path


def model_name(value: str, info: ValidationInfo) -> str:
    """Return a model's name, or its path from the folder of the configuration on, if it is one."""
    path = placed(Path(value), info)
    try:
        return str(path) if value.startswith(_PATH_STARTS) or path.exists() else value
    except OSError:  # a name that is too long for a file
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
