"""The operators' API: have the configuration read again."""

import os
import signal
from collections.abc import Awaitable, Callable

from fastapi import APIRouter
from pydantic import BaseModel

from gateway.api.admin import router
from gateway.api.operators import Access
from gateway.config import SUPERVISOR_VARIABLE
from gateway.errors import InvalidRequestError
from gateway.yaml_source import ConfigError


class Reloaded(BaseModel):
    """The configuration was read again, and holds."""

    reloaded: bool = True


def routes(reload: Callable[[], Awaitable[None]], access: Access) -> APIRouter:
    """Return the routes; `reload` raises ConfigError where what held until now goes on."""
    found = router(access)

    @found.post("/reload", summary="Read the configuration again, on all workers", tags=["operation"])
    async def reload_all() -> Reloaded:
        try:
            await reload()
        except ConfigError as error:
            raise InvalidRequestError(str(error)) from None
        parent = os.getppid()
        if os.environ.get(SUPERVISOR_VARIABLE) == str(parent):  # another where the supervisor has died
            os.kill(parent, signal.SIGHUP)  # which has the other workers do the same
        return Reloaded()

    return found
