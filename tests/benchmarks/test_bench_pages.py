import io
import itertools

from rich.console import Console

from benchmarks.bench_pages import HOUR, QUERIES, TEAMS, measure, settlements, show, stores


async def test_the_hour_has_as_many_requests_as_are_asked_for_in_both_stores() -> None:
    made = [one for some in settlements(2345) for one in some]
    assert len({one.id for one in made}) == 2345
    assert {one.team for one in made} == {f"team{number}" for number in range(TEAMS)}
    assert all(HOUR <= one.entry.time < HOUR + 3600 for one in made)
    async with stores() as both:
        for store in both.values():
            for some in settlements(100):
                await store.settle_all(some)
            pages = [await store.latest(query, None, 50) for query in QUERIES.values()]
            assert [len(page.entries) for page in pages] == [50, 0, 0]
            assert pages[0].entries[0] == [one for some in settlements(100) for one in some][-1].entry


async def test_each_page_of_each_store_is_timed_and_shown() -> None:
    found = await measure(100, 2)
    assert set(found) == set(itertools.product(("SQLite", "Redis or Valkey"), QUERIES))
    assert {len(times) for times in found.values()} == {2}
    out = io.StringIO()
    show(found, 100, Console(file=out, width=120))
    assert out.getvalue().count("of a text that none has") == 2
