"""What all routes of the operators' API have in common: who gets in, and errors in OpenAI's shape."""

import hmac
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from enum import StrEnum
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from gateway.config import is_loopback
from gateway.errors import (
    AuthenticationError,
    GatewayError,
    InternalError,
    InvalidJsonError,
    InvalidRequestError,
    NotAllowedError,
    StoreOutageError,
    UnknownUrlError,
)
from gateway.store.contract import StoreUnavailableError
from gateway.teams.mistakes import first_mistake

Handler = Callable[[Request], Coroutine[Any, Any, Response]]

# A proxy before the gateway adds one of these; whoever comes through it is not on this machine.
_FORWARDED = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via")
_READING = frozenset(("GET", "HEAD"))


class Role(StrEnum):
    """What somebody who was let in may do."""

    ADMIN = "admin"
    READER = "reader"


@dataclass(frozen=True, slots=True)
class Access:
    """The tokens that let in, `reader` to all that changes nothing; without one, whoever calls on this machine."""

    admin: str | None
    reader: str | None = None

    def role(self, sent: str) -> Role | None:
        """Return whose token this is, None if nobody's."""
        # Both are compared, so that the time tells nothing.
        admin, reader = _same(sent, self.admin), _same(sent, self.reader)
        return Role.ADMIN if admin else Role.READER if reader else None


class ErrorBody(BaseModel):
    """What went wrong."""

    message: str
    type: str
    param: str | None
    code: str | None


class ErrorReply(BaseModel):
    """An error, in the shape of OpenAI's."""

    error: ErrorBody


class MethodNotAllowedError(GatewayError):
    """The path is there, but not for this method."""

    status, type, code = 405, "invalid_request_error", "method_not_allowed"


def guarded(access: Access) -> type[APIRoute]:
    """Return the class of routes that only let in whom `access` does; `request.state.role` is their role."""

    class Guarded(APIRoute):
        def get_route_handler(self) -> Handler:
            handler = super().get_route_handler()

            async def handle(request: Request) -> Response:
                # Before anything of the request is read, as a dependency of the route would not be.
                request.state.role = _let_in(request, access)
                return await handler(request)

            return handle

    return Guarded


def _same(sent: str, token: str | None) -> bool:
    return token is not None and hmac.compare_digest(sent.encode(), token.encode())


def _let_in(request: Request, access: Access) -> Role:
    if access.admin is None:
        _let_in_from_here(request)
        return Role.ADMIN
    scheme, _, sent = request.headers.get("authorization", "").partition(" ")
    role = access.role(sent.strip())
    if scheme.lower() != "bearer" or role is None:
        raise AuthenticationError("The admin token is missing or wrong: send it as `Authorization: Bearer TOKEN`.")
    if role is Role.READER and request.method not in _READING:
        raise NotAllowedError("This token may look at everything but change nothing; that takes admin.token.")
    return role


def _let_in_from_here(request: Request) -> None:
    """Keep out proxies' clients, and other sites' pages in a browser of this machine, which reach loopback too."""
    host, origin = request.headers.get("host", ""), request.headers.get("origin")
    foreign = origin is not None and origin.partition("://")[2] != host
    if foreign or not _is_here(host) or any(name in request.headers for name in _FORWARDED):
        raise NotAllowedError("Without admin.token in the configuration, only this machine may use the admin API.")


def _is_here(host: str) -> bool:
    try:
        return is_loopback(urlsplit(f"//{host}").hostname or "")
    except ValueError:
        return False


def answer_errors(app: FastAPI) -> None:
    """Let the application answer every error in OpenAI's shape."""

    async def answer(request: Request, error: Exception) -> Response:
        said = _said(request, error)
        headers = {name.decode(): value.decode() for name, value in said.headers}
        return Response(said.body(), said.status, headers, media_type="application/json")

    for kind in (GatewayError, StoreUnavailableError, RequestValidationError, HTTPException, Exception):
        app.add_exception_handler(kind, answer)


def _said(request: Request, error: Exception) -> GatewayError:
    if isinstance(error, GatewayError):
        return error
    if isinstance(error, StoreUnavailableError):
        return StoreOutageError("The store of teams and keys is away; please try again.")
    if isinstance(error, RequestValidationError):
        return _invalid(error)
    if isinstance(error, HTTPException):
        return _http_error(request, error)
    return InternalError("The gateway failed on this request.")


def _invalid(error: RequestValidationError) -> GatewayError:
    found = error.errors()
    if any(item["type"] == "json_invalid" for item in found):
        return InvalidJsonError("The body is not JSON.")
    field, said = first_mistake(found)
    return InvalidRequestError(f"{field or 'the body'}: {said}", field or None)


def _http_error(request: Request, error: HTTPException) -> GatewayError:
    what = f"{request.method} {request.url.path}"
    if error.status_code == HTTPStatus.NOT_FOUND:
        return UnknownUrlError(f"Unknown request URL: {what}.")
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        return MethodNotAllowedError(f"There is no {what}.")
    return InvalidRequestError(str(error.detail))
