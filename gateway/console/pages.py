"""The console's page and its files, as they are shipped in the package."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable

from fastapi import APIRouter, Request, Response

from gateway.errors import UnknownUrlError

PREFIX = "/console"
_PAGE = "console.html"
_METHODS = ["GET", "HEAD"]
_TYPES = {
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "svg": "image/svg+xml",
}
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "content-security-policy": _POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    # What is kept is asked for again each time, so that a new release's modules never meet an old one's.
    "cache-control": "no-cache",
}


@dataclass(frozen=True, slots=True)
class Asset:
    """One file, ready to be sent."""

    content: bytes
    type: str
    tag: str

    @classmethod
    def of(cls, file: Traversable) -> "Asset":
        """Read the file."""
        content = file.read_bytes()
        kind = _TYPES[file.name.rpartition(".")[2]]
        return cls(content, kind, f'"{hashlib.sha256(content).hexdigest()[:32]}"')

    def reply(self, known: str) -> Response:
        """Return the reply to somebody who has the versions that the `known` If-None-Match names."""
        headers = {**_HEADERS, "etag": self.tag}
        if self.tag in known:
            return Response(status_code=304, headers=headers)
        return Response(self.content, media_type=self.type, headers=headers)


def routes() -> APIRouter:
    """Return the routes; nobody needs a token for them, since they tell nothing that the package does not."""
    found = APIRouter()
    assets = _assets()

    @found.api_route(PREFIX, methods=_METHODS, include_in_schema=False)
    async def page(request: Request) -> Response:
        return _reply(assets, _PAGE, request)

    @found.api_route(f"{PREFIX}/", methods=_METHODS, include_in_schema=False)
    async def beside() -> Response:
        # Relative, as the page's own addresses are: a proxy may have another host, scheme and path.
        return Response(status_code=307, headers={**_HEADERS, "location": f"..{PREFIX}"})

    @found.api_route(f"{PREFIX}/assets/{{name}}", methods=_METHODS, include_in_schema=False)
    async def asset(name: str, request: Request) -> Response:
        return _reply(assets, name, request)

    return found


def _reply(assets: Mapping[str, Asset], name: str, request: Request) -> Response:
    if name not in assets:
        raise UnknownUrlError(f"Unknown request URL: {request.method} {request.url.path}.")
    return assets[name].reply(request.headers.get("if-none-match", ""))


def _assets() -> dict[str, Asset]:
    return {file.name: Asset.of(file) for file in _files()}


def _files() -> Iterator[Traversable]:
    """Yield the console's own files, and the chart library that the reports ship."""
    yield from (file for file in (files("gateway.console") / "assets").iterdir() if file.is_file())
    yield files("gateway.reporting") / "assets" / "chart.umd.min.js"
