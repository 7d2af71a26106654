"""The Python client through deaths of the server and cuts of the network: nothing missing, nothing twice, all told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from bascule import (
    AsyncClient,
    AsyncSession,
    Display,
    Event,
    Finished,
    GoingAway,
    Reconnected,
    RolledBack,
    WorkerDiedError,
)
from bascule.execution import Execution
from support.network import network
from support.server import TOKEN, Server

EVENTS = 1000
CUT_S = 10.0


def counting(pause_s: float) -> str:
    """A thousand events, each one `display`, and a name that counts the runs."""
    return (
        "import time\nruns = globals().get('runs', 0) + 1\n"
        f"for i in range({EVENTS}):\n    display(i)\n    time.sleep({pause_s})\nruns"
    )


class Counted:
    """What a stream of `counting` brought, in order."""

    def __init__(self) -> None:
        self.numbers: list[int] = []
        self.execution: Execution | None = None
        self._news = asyncio.Condition()

    async def read(self, session: AsyncSession, pause_s: float, **more) -> None:
        """All of it."""
        async for event in session.stream(counting(pause_s), **more):
            async with self._news:
                if isinstance(event, Display):
                    self.numbers.append(int(str(event.result)))
                elif isinstance(event, Finished):
                    self.execution = event.execution
                self._news.notify_all()

    async def reached(self, number: int) -> None:
        """Until so many have come."""
        async with self._news:
            await self._news.wait_for(lambda: len(self.numbers) >= number)


class Told(list[Event]):
    """What a session's `on_event` heard."""

    def __init__(self) -> None:
        self._news = asyncio.Event()

    def append(self, event: Event) -> None:
        super().append(event)
        self._news.set()

    async def reconnected(self, times: int) -> None:
        """Until the connection has come back so often."""
        while sum(isinstance(event, Reconnected) for event in self) < times:
            self._news.clear()
            await self._news.wait()


@asynccontextmanager
async def a_session(url: str, told: list[Event], **settings) -> AsyncIterator[AsyncSession]:
    """One on a client that comes back quickly."""
    async with (
        AsyncClient(TOKEN, url, reconnect_first_s=0.05, reconnect_delay_max_s=0.5, **settings) as client,
        client.open(on_event=told.append) as session,
    ):
        yield session


def assert_whole(counted: Counted, told: list[Event]) -> None:
    """No gap, no double, one run, committed."""
    assert counted.numbers == list(range(EVENTS))
    assert counted.execution.gaps == []
    assert (counted.execution.text, counted.execution.state) == ("1", "committed")
    assert any(isinstance(event, Reconnected) for event in told)


@pytest.mark.docker
@pytest.mark.redis
async def test_a_server_killed_in_the_middle_of_a_stream_costs_no_event(on_docker: Server):
    """kill -9 after 300 of 1,000 events, and again after 600; the worker counts on, the client hears all of it once."""
    told = Told()
    async with a_session(on_docker.url, told) as session:
        counted = Counted()
        reading = asyncio.create_task(counted.read(session, 0.01))
        for mark in (300, 600):
            await counted.reached(mark)
            await on_docker.kill()
            await on_docker.start()
        await reading
        assert_whole(counted, told)
        assert (await session.run("runs")).text == "1"


@pytest.mark.docker
@pytest.mark.redis
async def test_what_ended_while_the_server_was_away_is_told_afterwards(on_docker: Server):
    """The eval ends with nobody there to commit it: its last events and its result come with the next server."""
    told = Told()
    async with a_session(on_docker.url, told) as session:
        counted = Counted()
        reading = asyncio.create_task(counted.read(session, 0.001))
        await counted.reached(1)
        await on_docker.kill()
        await asyncio.sleep(2)  # the worker goes on for one second, and nobody can see it end
        await on_docker.start()
        await reading
        assert_whole(counted, told)


@pytest.mark.bubblewrap
async def test_a_network_that_is_cut_for_ten_seconds_costs_no_event(embedded: Server):
    """No reset, no answer: the heartbeat notices; what the worker said meanwhile comes when the network is back."""
    told = Told()
    async with network(embedded.url) as between, a_session(between.url, told, heartbeat_s=2) as session:
        counted = Counted()
        reading = asyncio.create_task(counted.read(session, 0.015))
        await counted.reached(200)
        between.cut()
        await asyncio.sleep(CUT_S)
        between.mend()
        await reading
        assert_whole(counted, told)
        assert max(event.seconds for event in told if isinstance(event, Reconnected)) > 1


@pytest.mark.bubblewrap
async def test_connections_that_are_reset_again_and_again_cost_no_event(embedded: Server):
    """Ten resets within one stream."""
    told = Told()
    async with network(embedded.url) as between, a_session(between.url, told) as session:
        counted = Counted()
        reading = asyncio.create_task(counted.read(session, 0.005))
        for resets in range(1, 11):
            await counted.reached(len(counted.numbers) + 10)
            between.reset()
            await told.reconnected(resets)
        await reading
        assert_whole(counted, told)


@pytest.mark.bubblewrap
async def test_evals_of_several_callers_run_once_through_resets(embedded: Server):
    """Five at a time, fifty in all, the connection reset under them ten times: each counts exactly once."""
    told = Told()
    answers: list[str] = []
    async with network(embedded.url) as between, a_session(between.url, told) as session:
        await session.run("import time\nn = 0")

        async def count() -> None:
            for _ in range(10):
                answers.append(str((await session.run("n += 1\ntime.sleep(0.01)\nn")).text))

        counting = [asyncio.create_task(count()) for _ in range(5)]
        for resets in range(1, 11):
            await session.is_complete("1")  # a round trip: the connection is there and in use
            between.reset()
            await told.reconnected(resets)
        await asyncio.gather(*counting)
        assert sorted(map(int, answers)) == list(range(1, 51))
        assert (await session.run("n")).text == "50"


@pytest.mark.bubblewrap
async def test_a_front_door_that_goes_away_in_order_costs_no_event(embedded: Server):
    """SIGTERM: `going_away`, the running eval ends, close with 1012; the session goes on at the next server."""
    told = Told()
    async with a_session(embedded.url, told) as session:
        counted = Counted()
        reading = asyncio.create_task(counted.read(session, 0.001))
        await counted.reached(100)
        await embedded.stop()
        await embedded.start()
        await reading
        await told.reconnected(1)
        assert_whole(counted, told)
        assert any(isinstance(event, GoingAway) for event in told)
        assert (await session.run("runs")).text == "1"


@pytest.mark.bubblewrap
async def test_a_worker_that_dies_with_its_server_is_told_and_nothing_runs_twice(embedded: Server):
    """Embedded workers end with the server: the open eval was undone, the last commit is there."""
    told = Told()
    async with a_session(embedded.url, told) as session:
        await session.run("runs = 10")
        counted = Counted()
        reading = asyncio.create_task(counted.read(session, 0.01))
        await counted.reached(50)
        await embedded.kill()
        await embedded.start()
        with pytest.raises(WorkerDiedError) as caught:
            await reading

        assert (caught.value.code, caught.value.retryable) == ("worker_died", True)
        assert counted.numbers == list(range(len(counted.numbers)))
        assert [event.to for event in told if isinstance(event, RolledBack)] == [1]
        assert (await session.run("runs")).text == "10"


@pytest.mark.bubblewrap
async def test_a_silent_eval_that_died_with_its_server_is_not_run_again(embedded: Server):
    """It said nothing before it died, so only the journal tells that it did not happen."""
    async with a_session(embedded.url, Told()) as session:
        await session.run("runs = 10")
        running = asyncio.create_task(session.run("runs += 1\nimport time; time.sleep(20)"))
        await session.is_complete("1")  # it has been sent
        await embedded.kill()
        await embedded.start()
        with pytest.raises(WorkerDiedError):
            await running
        assert (await session.run("runs")).text == "10"


@pytest.mark.bubblewrap
async def test_a_commit_whose_word_was_lost_is_found(embedded: Server):
    """The result never arrives, though it is committed: after the reconnect the same id brings the stored outcome."""
    async with (
        network(embedded.url) as between,
        a_session(between.url, Told(), heartbeat_s=1) as session,
        AsyncClient(TOKEN, embedded.url) as direct,
        direct.attach(session.id) as witness,
    ):
        await session.run("runs = 0")
        between.deafen()
        running = asyncio.create_task(session.run("runs += 1\nruns", request_id="once"))
        while (await witness.run("runs")).text == "0":
            pass  # each of them waits for its turn behind what was sent before
        between.mend()

        assert (await running).text == "1"
        assert (await session.run("runs += 1\nruns", request_id="once")).text == "1"
        assert (await session.run("runs")).text == "1"
