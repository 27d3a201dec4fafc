"""A pipeline before a real upstream, with what it records at hand."""

import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.accounts import Accounts
from gateway.config import Settings
from gateway.metrics import Metrics
from gateway.pipeline import Pipeline, Windows
from gateway.pricing import PriceBook
from gateway.record import RequestRecord
from gateway.upstreams.attempts import Attempts
from gateway.upstreams.candidates import Candidates
from gateway.upstreams.upstream import Upstream
from gateway.windowing.pool import WindowPool


@dataclass(frozen=True, slots=True)
class Recorded:
    """A pipeline, what is kept beside it, and the records of its requests."""

    pipeline: Pipeline
    accounts: Accounts
    recorded: list[RequestRecord]

    @property
    def records(self) -> list[RequestRecord]:
        """What has been recorded of all that have ended."""
        self.accounts.endings.flush()
        return self.recorded

    @property
    def record(self) -> RequestRecord:
        """The only record there is."""
        (record,) = self.records
        return record


@asynccontextmanager
async def pipeline(
    url: str, windows: Windows | None = None, priced: bool = False, **settings: Any
) -> AsyncIterator[Recorded]:
    """Run a pipeline before the upstream `main` at the URL; without `windows` no windowing process is there yet."""
    found = Settings.model_validate({"upstreams": {"main": {"base_url": url}}, **settings})
    records: list[RequestRecord] = []
    own = {name: model.price for name, model in found.models.items()}
    prices = {name: PriceBook(url, own) for name in found.upstreams} if priced else {}
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        candidates = Candidates(found)
        accounts = Accounts(found, folder / "gateway.yaml", Metrics())
        await stack.enter_async_context(accounts.running())
        opened = {
            name: await stack.enter_async_context(Upstream(name, known)) for name, known in found.upstreams.items()
        }
        yield Recorded(
            Pipeline(
                settings=found,
                spending=accounts.configured(found, candidates, prices),
                upstreams=opened,
                candidates=candidates,
                attempts=Attempts(found.retries, opened),
                prices=prices,
                windows=windows or WindowPool(1, 1, "no model"),
                record=records.append,
                endings=accounts.endings,
            ),
            accounts,
            records,
        )
