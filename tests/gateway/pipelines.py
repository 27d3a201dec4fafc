"""A pipeline before a real upstream, with what it records at hand."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

from gateway.config import Settings
from gateway.pipeline import Pipeline, Windows
from gateway.record import RequestRecord
from gateway.teams.keys import Keyring
from gateway.upstream import Upstream
from gateway.windowing.pool import WindowPool


@dataclass(frozen=True, slots=True)
class Recorded:
    """A pipeline and the records of its requests."""

    pipeline: Pipeline
    records: list[RequestRecord]

    @property
    def record(self) -> RequestRecord:
        """The only record there is."""
        (record,) = self.records
        return record


@asynccontextmanager
async def pipeline(url: str, windows: Windows | None = None, **settings: Any) -> AsyncIterator[Recorded]:
    """Run a pipeline before the upstream `main` at the URL; without `windows` no windowing process is there yet."""
    found = Settings.model_validate({"upstreams": {"main": {"base_url": url}}, **settings})
    records: list[RequestRecord] = []
    async with AsyncExitStack() as stack:
        opened = {
            name: await stack.enter_async_context(Upstream(name, known)) for name, known in found.upstreams.items()
        }
        yield Recorded(
            Pipeline(
                settings=found,
                keyring=Keyring.of(
                    {n: [k.key.get_secret_value() for k in team.keys] for n, team in found.teams.items()}
                ),
                upstreams=opened,
                prices={},
                windows=windows or WindowPool(1, 1, "no model"),
                recorders=(records.append,),
            ),
            records,
        )
