import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from gateway.errors import AuthenticationError, InvalidRequestError, StoreOutageError
from gateway.policies import BudgetSettings, KeyPolicy, TeamPolicy
from gateway.store.contract import Kind, Store, StoreUnavailableError
from gateway.store.redis import RedisStore
from gateway.teams.known import Source, Team
from gateway.teams.roster import ConflictError, Roster, UnknownNameError
from tests.gateway.store import servers
from tests.gateway.store.cases import put
from tests.gateway.teams.rosters import Replica, UnsteadyStore, unsteady_store

DECLARED = "sk-declared-1"
FIVE_USD = TeamPolicy(budget=BudgetSettings(usd=5))


@asynccontextmanager
async def opened(store: Store) -> AsyncIterator[None]:
    await store.open()
    try:
        yield
    finally:
        await store.close()


@asynccontextmanager
async def running(roster: Roster, period_s: float = 0.01) -> AsyncIterator[None]:
    task = asyncio.create_task(roster.run(period_s))
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def until(true: Callable[[], bool], within_s: float = 5.0) -> float:
    """Wait for it, and return how long that took."""
    began = time.perf_counter()
    while not true():
        assert time.perf_counter() - began < within_s
        await asyncio.sleep(0.005)
    return time.perf_counter() - began


def refused(replica: Replica, key: str) -> bool:
    try:
        replica.team_of(key)
    except AuthenticationError:
        return True
    return False


async def test_a_team_made_on_one_replica_is_there_on_the_others(store: UnsteadyStore) -> None:
    one, other = Replica(store), Replica(store)
    made = await one.roster.add_team("acme", FIVE_USD)
    assert (made.name, made.policy, made.source, made.keys) == ("acme", FIVE_USD, Source.STORE, 0)
    assert await other.roster.show_team("acme") == made
    assert await other.roster.list_teams() == (made,)
    key, _ = await other.roster.add_key("acme", KeyPolicy())
    assert other.team_of(key) == "acme"
    await one.roster.refresh()
    assert one.roster.keyring.caller(f"Bearer {key}", 0.0).policy == FIVE_USD


async def test_a_revoked_key_is_dead_on_every_replica_within_a_second(store: UnsteadyStore, tmp_path: Path) -> None:
    async with unsteady_store(tmp_path) as opened_by_another_process:
        one, other = Replica(store), Replica(opened_by_another_process)
        await one.roster.add_team("acme", TeamPolicy())
        key, made = await one.roster.add_key("acme", KeyPolicy())
        async with running(other.roster, period_s=0.4):
            await until(lambda: other.roster.keyring.complete and not refused(other, key))
            await one.roster.revoke_key(made.id)
            assert refused(one, key)
            assert await until(lambda: refused(other, key)) < 1.0


async def test_documents_are_only_read_when_they_changed(store: UnsteadyStore) -> None:
    replica = Replica(store)
    async with running(replica.roster):
        await until(lambda: replica.roster.keyring.complete)
        read = store.reads
        await asyncio.sleep(0.1)
        assert store.reads == read
        await put(store, Kind.TEAM, "acme", b"{}")
        await until(lambda: store.reads > read)
        await until(lambda: replica.roster.keyring.required)


async def test_while_the_store_is_away_what_is_known_holds_and_that_is_said_once(store: UnsteadyStore) -> None:
    replica = Replica(store)
    await replica.roster.add_team("acme", TeamPolicy())
    key, _ = await replica.roster.add_key("acme", KeyPolicy())
    async with running(replica.roster):
        store.away = True
        await until(lambda: bool(replica.reported))
        await asyncio.sleep(0.1)
        assert replica.reported == [("teams_not_refreshed", "no answer within 50 ms")]
        assert replica.team_of(key) == "acme"
        store.away = False
        await until(lambda: len(replica.reported) > 1)
    assert replica.reported[1:] == [("teams_refreshed", "")]


async def test_a_replica_that_never_reached_the_store_lets_in_only_whom_the_configuration_names(
    store: UnsteadyStore,
) -> None:
    store.away = True
    for replica, required in ((Replica(store, acme={"keys": [DECLARED]}), True), (Replica(store), False)):
        assert replica.roster.keyring.required == required
        with pytest.raises(StoreOutageError):
            replica.team_of("sk-made-at-run-time")
    assert Replica(store, acme={"keys": [DECLARED]}).team_of(DECLARED) == "acme"


async def test_what_cannot_be_read_is_reported_once(store: UnsteadyStore) -> None:
    replica = Replica(store)
    await put(store, Kind.TEAM, "newer", b'{"of_a_later_release": 1}')
    await replica.roster.refresh()
    await put(store, Kind.TEAM, "acme", b"{}")
    await replica.roster.refresh()
    assert replica.reported == [("document_unreadable", "newer")]
    assert [team.name for team in await replica.roster.list_teams()] == ["acme"]


@pytest.mark.parametrize("name", ["", ".", "..", "a b", "a/b", "ä", "a" * 65, "acme\n"])
async def test_names_that_are_no_names_are_refused(store: UnsteadyStore, name: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        await Replica(store).roster.add_team(name, TeamPolicy())
    assert caught.value.param == "name"


@pytest.mark.parametrize("name", ["a", "A.b_c-1", ".hidden", "a" * 64])
async def test_other_names_are_taken(store: UnsteadyStore, name: str) -> None:
    assert (await Replica(store).roster.add_team(name, TeamPolicy())).name == name


async def test_a_name_is_taken_once(store: UnsteadyStore) -> None:
    roster = Replica(store, acme={}).roster
    await roster.add_team("umbrella", FIVE_USD)
    for name in ("acme", "umbrella"):
        with pytest.raises(ConflictError, match=f"a team {name} already"):
            await roster.add_team(name, TeamPolicy())
    assert (await roster.show_team("umbrella")).policy == FIVE_USD


async def test_of_two_that_make_the_same_team_at_once_one_is_refused(store: UnsteadyStore) -> None:
    roster = Replica(store).roster
    policies = (FIVE_USD, TeamPolicy())
    done = await asyncio.gather(*(roster.add_team("acme", policy) for policy in policies), return_exceptions=True)
    assert [type(outcome).__name__ for outcome in done] == ["Team", "ConflictError"]
    assert (await roster.show_team("acme")).policy == FIVE_USD


@asynccontextmanager
async def rosters(folder: Path) -> AsyncIterator[tuple[Roster, ...]]:
    """Four rosters, two on each of two stores that share a file, as in other processes."""
    async with unsteady_store(folder) as one, unsteady_store(folder) as other:
        yield tuple(Replica(store).roster for store in (one, one, other, other))


async def test_of_many_that_make_the_same_team_in_all_processes_one_does(tmp_path: Path) -> None:
    async with rosters(tmp_path) as found:
        asked = [found[number % 4].add_team("race", TeamPolicy(models=(str(number),))) for number in range(20)]
        done = await asyncio.gather(*asked, return_exceptions=True)
        (made,) = [outcome for outcome in done if isinstance(outcome, Team)]
        assert [type(outcome) for outcome in done].count(ConflictError) == 19
        assert await found[0].show_team("race") == await found[3].show_team("race") == made


async def test_no_change_of_several_at_once_is_lost(tmp_path: Path) -> None:
    def adding(model: str) -> Callable[[TeamPolicy], TeamPolicy]:
        return lambda before: before.model_copy(update={"models": (*before.models, model)})

    async with rosters(tmp_path) as found:
        await found[0].add_team("acme", FIVE_USD)
        await asyncio.gather(*(found[number % 4].edit_team("acme", adding(str(number))) for number in range(20)))
        policy = (await found[0].show_team("acme")).policy
    assert sorted(policy.models, key=int) == [str(number) for number in range(20)]
    assert policy.budget == FIVE_USD.budget


async def test_a_key_that_is_rotated_twice_at_once_is_followed_by_one(tmp_path: Path) -> None:
    async with rosters(tmp_path) as found:
        await found[0].add_team("acme", TeamPolicy())
        _, old = await found[0].add_key("acme", KeyPolicy())
        done = await asyncio.gather(*(each.rotate_key(old.id) for each in found), return_exceptions=True)
        assert sum(isinstance(outcome, tuple) for outcome in done) == 1
        assert len(await found[1].list_keys("acme")) == 1


async def test_another_policy_holds_for_the_keys_that_are_there(store: UnsteadyStore) -> None:
    replica = Replica(store)
    await replica.roster.add_team("acme", FIVE_USD)
    key, _ = await replica.roster.add_key("acme", KeyPolicy())
    changed = await replica.roster.change_team("acme", TeamPolicy(models=("o3",)))
    assert (changed.policy.models, changed.policy.budget, changed.keys) == (("o3",), None, 1)
    assert not replica.roster.keyring.caller(f"Bearer {key}", 0.0).may_use("gpt-4o")


@pytest.mark.parametrize(
    "operation",
    [
        lambda roster: roster.show_team("nobody"),
        lambda roster: roster.change_team("nobody", TeamPolicy()),
        lambda roster: roster.remove_team("nobody"),
        lambda roster: roster.add_key("nobody", KeyPolicy()),
        lambda roster: roster.list_keys("nobody"),
        lambda roster: roster.rotate_key("key_nobody"),
        lambda roster: roster.revoke_key("key_nobody"),
    ],
)
async def test_what_is_not_there_is_named(
    store: UnsteadyStore, operation: Callable[[Roster], Awaitable[object]]
) -> None:
    with pytest.raises(UnknownNameError, match="nobody"):
        await operation(Replica(store, acme={}).roster)


async def test_a_team_with_keys_goes_only_together_with_them(store: UnsteadyStore) -> None:
    replica = Replica(store, other={})
    await replica.roster.add_team("acme", TeamPolicy())
    key, _ = await replica.roster.add_key("acme", KeyPolicy())
    with pytest.raises(ConflictError, match=r"1 key\(s\)"):
        await replica.roster.remove_team("acme")
    assert replica.team_of(key) == "acme"
    await replica.roster.remove_team("acme", cascade=True)
    assert refused(replica, key)
    await replica.roster.add_team("acme", TeamPolicy())
    assert refused(replica, key), "a namesake must not bring it back to life"


async def test_removing_the_last_team_must_be_meant(store: UnsteadyStore) -> None:
    replica = Replica(store)
    await replica.roster.add_team("acme", TeamPolicy())
    with pytest.raises(ConflictError, match="without a key"):
        await replica.roster.remove_team("acme")
    await replica.roster.remove_team("acme", open_to_all=True)
    assert replica.roster.keyring.caller(None, 0.0).team == "default"


async def test_a_store_that_lost_its_data_is_told_teams_and_keys_again_by_one_replica() -> None:
    with servers.running() as server:
        one_store, other_store = (RedisStore(server.url, timeout_ms=5000) for _ in range(2))
        async with opened(one_store), opened(other_store):
            one, other = Replica(one_store), Replica(other_store)
            await one.roster.add_team("acme", FIVE_USD)
            key, _ = await one.roster.add_key("acme", KeyPolicy())
            await other.roster.refresh()
            server.ask("FLUSHALL")
            await asyncio.gather(one.roster.refresh(), other.roster.refresh())
            new = Replica(one_store)
            await new.roster.refresh()
            assert [replica.team_of(key) for replica in (one, other, new)] == ["acme"] * 3
            assert [event for event, _ in one.reported + other.reported] == ["teams_written_again"]
            await other.roster.remove_team("acme", cascade=True, open_to_all=True)
            await one.roster.refresh()
            server.ask("FLUSHALL")
            await one.roster.refresh()
            assert not one.roster.keyring.required, "what was removed stays so"


async def test_what_the_configuration_declares_can_only_be_changed_there(store: UnsteadyStore) -> None:
    replica = Replica(store, acme={"keys": [DECLARED]}, umbrella={})
    (key,) = await replica.roster.list_keys("acme")
    assert (key.source, key.created) == (Source.CONFIGURATION, None)
    for operation in (
        replica.roster.change_team("acme", FIVE_USD),
        replica.roster.remove_team("acme", cascade=True),
        replica.roster.revoke_key(key.id),
        replica.roster.rotate_key(key.id),
    ):
        with pytest.raises(ConflictError, match="declared in the configuration"):
            await operation
    assert replica.team_of(DECLARED) == "acme"


async def test_a_declared_team_may_get_keys_at_run_time(store: UnsteadyStore) -> None:
    replica = Replica(store, acme={"keys": [DECLARED], "budget": {"usd": 5}})
    key, made = await replica.roster.add_key("acme", KeyPolicy(name="ci", models=("o3",)))
    caller = replica.roster.keyring.caller(f"Bearer {key}", 0.0)
    assert (caller.team, caller.key, caller.policy) == ("acme", made.id, FIVE_USD)
    assert [found.policy.name for found in await replica.roster.list_keys("acme")] == ["", "ci"]
    await replica.roster.revoke_key(made.id)
    assert refused(replica, key)


async def test_a_key_is_nowhere_in_the_store(store: UnsteadyStore) -> None:
    roster = Replica(store, acme={}).roster
    key, made = await roster.add_key("acme", KeyPolicy())
    document = (await store.documents(Kind.KEY))[made.id]
    assert key[10:].encode() not in document
    assert key[:10].encode() in document
    assert made.start == key[:10]


async def test_a_key_that_would_be_born_dead_is_not_made(store: UnsteadyStore) -> None:
    roster = Replica(store, acme={}).roster
    with pytest.raises(InvalidRequestError) as caught:
        await roster.add_key("acme", KeyPolicy(expires=datetime.now(UTC)))
    assert caught.value.param == "expires"
    assert await roster.list_keys() == ()


async def test_a_rotated_key_is_followed_by_one_that_may_do_the_same(store: UnsteadyStore) -> None:
    replica = Replica(store, acme={})
    policy = KeyPolicy(name="ci", models=("o3",), expires=datetime.now(UTC) + timedelta(days=30))
    old_key, old = await replica.roster.add_key("acme", policy)
    new, made = await replica.roster.rotate_key(old.id)
    assert refused(replica, old_key)
    assert (made.team, made.policy, made.first) == ("acme", policy, old.id)
    _, third = await replica.roster.rotate_key(made.id, timedelta(hours=1))
    assert third.first == replica.roster.counted_as(third.id) == replica.roster.counted_as(made.id) == old.id
    assert replica.roster.keyring.caller(f"Bearer {new}", time.time()).first == old.id
    await replica.roster.revoke_key(third.id)
    assert [key.id for key in await replica.roster.list_keys()] == [made.id]
    assert replica.team_of(new) == "acme"


async def test_a_grace_lets_the_old_key_live_until_then(store: UnsteadyStore) -> None:
    replica = Replica(store, acme={})
    old_key, old = await replica.roster.add_key("acme", KeyPolicy())
    new, _ = await replica.roster.rotate_key(old.id, timedelta(hours=1))
    now = time.time()
    for key, at in ((old_key, now + 3500), (new, now + 3500), (new, now + 3700)):
        assert replica.roster.keyring.caller(f"Bearer {key}", at).team == "acme"
    with pytest.raises(AuthenticationError, match="expired"):
        replica.roster.keyring.caller(f"Bearer {old_key}", now + 3700)


async def test_a_grace_does_not_let_a_key_live_longer_than_it_would_have(store: UnsteadyStore) -> None:
    roster = Replica(store, acme={}).roster
    ends = datetime.now(UTC) + timedelta(hours=1)
    _, old = await roster.add_key("acme", KeyPolicy(expires=ends))
    await roster.rotate_key(old.id, timedelta(days=1))
    assert [key.policy.expires for key in await roster.list_keys()] == [ends, ends]


async def test_an_outage_during_an_operation_is_said_and_changes_nothing(store: UnsteadyStore) -> None:
    replica = Replica(store, acme={})
    key, made = await replica.roster.add_key("acme", KeyPolicy())
    store.away = True
    for operation in (
        replica.roster.list_teams(),
        replica.roster.add_team("umbrella", TeamPolicy()),
        replica.roster.revoke_key(made.id),
    ):
        with pytest.raises(StoreUnavailableError):
            await operation
    assert replica.team_of(key) == "acme"
