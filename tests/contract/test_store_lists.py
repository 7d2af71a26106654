"""Every store: the sessions of a tenant, page by page."""

import dataclasses
import itertools

import pytest

from orchestrator.core.paging import Position
from support.commits import POLICY, fresh_session


@pytest.fixture
def policy():
    """Of a tenant that no other test has."""
    return dataclasses.replace(POLICY, tenant=fresh_session())


def flat(found):
    """The sessions of all pages."""
    return [session for page in found for session in page]


async def pages(store, tenant, count):
    """All pages, as lists of session ids."""
    found, after = [], None
    while True:
        records, after = await store.sessions_of(tenant, after, count)
        found.append([record.session for record in records])
        if after is None:
            return found


async def test_a_tenants_sessions_come_in_pages_the_newest_first(store, policy):
    """Each once, whatever the size of a page, and the page says whether there are more."""
    made = [(await store.create(fresh_session(), policy)) for _ in range(7)]
    wanted = [record.session for record in sorted(made, key=lambda item: (item.created_at, item.session), reverse=True)]
    for count, sizes in ((3, [3, 3, 1]), (7, [7]), (10, [7])):
        found = await pages(store, policy.tenant, count)
        assert [len(page) for page in found] == sizes
        assert sorted(flat(found)) == sorted(wanted)
    times = {record.session: record.created_at for record in made}
    seen = [times[session] for session in flat(await pages(store, policy.tenant, 2))]
    assert all(newer >= older - 0.005 for newer, older in itertools.pairwise(seen))


async def test_many_of_one_moment_are_all_listed(store, policy):
    """More than are read at once, some of them made within one millisecond."""
    made = [(await store.create(fresh_session(), policy)).session for _ in range(230)]
    found = await pages(store, policy.tenant, 50)
    assert [len(page) for page in found] == [50, 50, 50, 50, 30]
    assert sorted(flat(found)) == sorted(made)


async def test_a_list_shows_no_other_tenants_and_no_closed_sessions(store, policy):
    """Not even to a cursor of the other tenant's."""
    own, closed = fresh_session(), fresh_session()
    other = await store.create(fresh_session(), dataclasses.replace(policy, tenant=fresh_session()))
    await store.create(own, policy)
    await store.create(closed, policy)
    await store.end(closed)
    assert await pages(store, policy.tenant, 10) == [[own]]
    forged = Position(round(other.created_at * 1000) + 60_000, other.session)
    records, _ = await store.sessions_of(policy.tenant, forged, 10)
    assert [record.session for record in records] == [own]
    assert await pages(store, "nobody", 10) == [[]]
