"""One look at everything that a gateway needs."""

import asyncio
import resource
import shutil
import sys
import sysconfig
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import msgspec

from gateway import stores
from gateway.config import Settings
from gateway.destinations import UpstreamSettings
from gateway.diagnosis.bodies import TooLongError, body_of
from gateway.diagnosis.finding import Finding, Level
from gateway.errors import GatewayError
from gateway.pricing import PriceBook
from gateway.store.contract import StoreUnavailableError
from gateway.teams.roster import Roster
from gateway.upstreams.candidates import ANY_MODEL, Candidates
from gateway.upstreams.upstream import Upstream, UpstreamReply, UpstreamRequest
from gateway.windowing.rehearsal import rehearsed

_PATIENCE_S = 15.0
_FEW_FILES = 4096
_LITTLE_DISK = 1 << 30


class _Listed(msgspec.Struct):
    id: str = ""


class _Models(msgspec.Struct):
    data: list[_Listed]


async def examine(settings: Settings, config: Path | None) -> AsyncIterator[Finding]:
    """Yield what is found, one after the other; a configuration that can't be read never gets here."""
    yield Finding("configuration", Level.OK, f"{len(settings.upstreams)} upstream(s), {len(settings.models)} model(s)")
    for finding in _admin(settings):
        yield finding
    found, teams = await _store(settings, config)
    yield found
    if not teams:
        advice = "`context-gateway teams add NAME`, then `keys add NAME`"
        yield Finding("teams", Level.WARNING, "none: no key is needed", advice)
    served: dict[str, frozenset[str]] = {}
    for name, upstream in settings.upstreams.items():
        finding, served[name] = await _upstream(name, upstream, bool(teams))
        yield finding
    for finding in _models(settings, served):
        yield finding
    yield await _embedding(settings)
    for finding in _machine(settings, config):
        yield finding


def _admin(settings: Settings) -> Iterator[Finding]:
    if settings.admin.enabled and settings.admin.token is None:
        advice = "set admin.token before listening on an address that others reach"
        yield Finding("admin API", Level.WARNING, "without a token: this machine alone may use it", advice)


async def _store(settings: Settings, config: Path | None) -> tuple[Finding, int]:
    """Look whether the store can be used; return how many teams there are, declared or in it."""
    kind = "Redis or Valkey" if settings.redis else "SQLite"
    try:
        async with stores.opened(settings, config) as store:
            teams = len(await Roster(settings, store).list_teams())
            await store.touch()
            danger = await store.danger()
    except StoreUnavailableError as error:
        advice = (
            "start it and let it be written to, or correct redis.url"
            if settings.redis
            else "make room and let it be written to, or name another place in store.path"
        )
        return Finding("store", Level.ERROR, f"{kind} can't be used: {error}", advice), len(settings.teams)
    if danger:
        return Finding("store", Level.WARNING, f"{kind}: {danger}", "`CONFIG SET maxmemory-policy noeviction`"), teams
    where = "" if settings.redis else f" at {settings.store.path or stores.default_path(config)}"
    return Finding("store", Level.OK, f"{kind}{where}"), teams


async def _upstream(name: str, settings: UpstreamSettings, teams: bool) -> tuple[Finding, frozenset[str]]:
    """Ask the upstream for its models; return what came of it, and their names.

    With `teams` no caller's key is sent on, so that an upstream that wants one must be given it.
    """
    what = f"upstream {name}"
    try:
        async with asyncio.timeout(_PATIENCE_S), Upstream(name, settings) as upstream:
            reply = await upstream.send(UpstreamRequest("GET", "/models", list(upstream.own_headers), None))
            found = await body_of(reply)
    except TimeoutError:
        return Finding(
            what, Level.ERROR, f"no answer in {_PATIENCE_S:g} s", "is it up, and reachable from here?"
        ), frozenset()
    except TooLongError:
        return _no_list(what), frozenset()
    except OSError as error:
        return Finding(what, Level.ERROR, str(error), "correct its ca_file"), frozenset()
    except GatewayError as error:
        return Finding(what, Level.ERROR, str(error), "is base_url right, and the server up?"), frozenset()
    if reply.status in (401, 403):
        return _refused(what, settings, teams), frozenset()
    return _answered(what, reply, found)


def _refused(what: str, settings: UpstreamSettings, teams: bool) -> Finding:
    if settings.api_key:
        return Finding(what, Level.ERROR, "it refuses the key", "correct its api_key")
    if teams:
        return Finding(what, Level.ERROR, "it wants a key, and with teams no caller's is sent on", "give it an api_key")
    return Finding(what, Level.OK, "reached; callers bring their own keys")


def _answered(what: str, reply: UpstreamReply, found: bytes) -> tuple[Finding, frozenset[str]]:
    if reply.status != 200:
        advice = "base_url goes up to and with /v1; some servers have no list of models, which does no harm"
        return Finding(what, Level.WARNING, f"GET /models answers {reply.status}", advice), frozenset()
    names = _names(found)
    if names is None:
        return _no_list(what), frozenset()
    return Finding(what, Level.OK, f"{len(names)} model(s)"), names


def _no_list(what: str) -> Finding:
    said = "GET /models answers with something that is no list of models"
    return Finding(what, Level.WARNING, said, "is base_url right, up to and with /v1?")


def _names(found: bytes) -> frozenset[str] | None:
    try:
        return frozenset(model.id for model in msgspec.json.decode(found, type=_Models).data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def _models(settings: Settings, served: dict[str, frozenset[str]]) -> Iterator[Finding]:
    candidates = Candidates(settings)
    own = {name: found.price for name, found in settings.models.items()}
    for model in settings.models:
        if model == ANY_MODEL:
            continue
        for candidate in candidates.of(model).all:
            asked = candidate.model or model
            yield from _model(model, asked, candidate.upstream, served[candidate.upstream])
            if PriceBook(settings.upstreams[candidate.upstream].base_url, own).rates(asked) is None:
                said = f"nobody knows the price of {asked}: no cost or saving is shown, budgets in USD refuse it"
                yield Finding(
                    f"model {model}", Level.WARNING, said, f"models.{asked}.price: {{input: ..., output: ...}}"
                )


def _model(model: str, asked: str, upstream: str, listed: frozenset[str]) -> Iterator[Finding]:
    if listed and asked not in listed:
        said = f"the upstream {upstream} does not list {asked}"
        yield Finding(f"model {model}", Level.WARNING, said, "another name, or another upstream?")
    else:
        yield Finding(f"model {model}", Level.OK, f"{asked} by {upstream}")


async def _embedding(settings: Settings) -> Finding:
    wanted = settings.windowing
    if wanted.mode == "off":
        return Finding("embedding model", Level.OK, "not needed: windowing is off")
    try:
        await asyncio.to_thread(rehearsed, wanted.embedding_model, None)
    except Exception as error:  # noqa: BLE001 - whatever the model's library raises is what the operator is told
        why = (str(error).strip() or type(error).__name__).splitlines()[0]
        said = f"{wanted.embedding_model} can't be loaded: {why}"
        advice = "oversized prompts are forwarded whole until windowing.embedding_model names one that can be loaded"
        return Finding("embedding model", Level.ERROR, said, advice)
    return Finding("embedding model", Level.OK, wanted.embedding_model)


def optimized(configured: str, prefix: str) -> bool:
    """Whether a Python was compiled with the help of a profile, by the options it was configured with and its prefix.

    Distributions do so, some (Debian, Ubuntu) without the option; pyenv and who compiles it by hand often do not.
    """
    return "--enable-optimizations" in configured or prefix == "/usr"


def _machine(settings: Settings, config: Path | None) -> Iterator[Finding]:
    if not optimized(sysconfig.get_config_var("CONFIG_ARGS") or "", sys.base_prefix):
        said = (
            f"that of {sys.base_prefix} was compiled without optimizations: requests take a fifth more of a processor"
        )
        advice = "use the system's (`make install PYTHON=/usr/bin/python3`) or the image's"
        yield Finding("Python", Level.WARNING, said, advice)
    _, files = resource.getrlimit(resource.RLIMIT_NOFILE)  # the server takes as many as it may
    if 0 <= files < _FEW_FILES:
        advice = "`ulimit -Hn 65536` before the start (LimitNOFILE= in systemd)"
        yield Finding("open files", Level.WARNING, f"at most {files}: each request takes two", advice)
    if settings.redis is None:
        place = settings.store.path or stores.default_path(config)
        folder = next(path for path in (place.parent, *place.parent.parents) if path.exists())
        free = shutil.disk_usage(folder).free
        if free < _LITTLE_DISK:
            said = f"{free / 1e6:,.0f} MB free at {folder}"
            yield Finding("disk", Level.WARNING, said, "the ledger takes about 0.6 KB a request")
