"""Groups in Python: as a frame, as dicts, compared; and the same for asyncio."""

from __future__ import annotations

import asyncio

import pandas as pd
import pytest

from bulkqa import AsyncClient, Client, Job
from contract.errors import NotEnded, UsageError
from tests.making import finish

FRAME = pd.DataFrame(
    {"question": ["who?", "who?"], "context": [["Ann is in", "Bo is in"], ["Cy is in"]], "when": [1.5, 2.5]},
    index=["x", "y"],
)


def done(client: Client, job: Job) -> Job:
    finish(job.id, client._backend.storage, client._backend.queue, client._backend.settings)  # type: ignore[attr-defined]
    return job


def test_lists_in_a_frame_are_groups_and_their_answers_a_frame(client: Client) -> None:
    job = done(client, client.submit(FRAME))
    found = job.groups()
    assert found[["group", "answer", "row", "passage", "passages", "when"]].to_dict("records") == [
        {"group": "0", "answer": "Ann", "row": 0, "passage": 0, "passages": 2, "when": 1.5},
        {"group": "1", "answer": "Cy", "row": 2, "passage": 0, "passages": 1, "when": 2.5},
    ]
    assert found["row"].dtype == "Int64"
    assert [group["group"] for group in job.group_answers()] == ["0", "1"]
    assert job.results()["group"].to_dict() == {"x": "0", "y": "1"}
    assert job.results().index.tolist() == ["x", "x", "y"]


def test_what_has_no_groups_yet_or_at_all_says_so(client: Client) -> None:
    with pytest.raises(NotEnded):
        client.submit(FRAME).groups()
    with pytest.raises(UsageError, match="has no groups") as caught:
        done(client, client.submit(FRAME.assign(context="Ann is in"))).groups()
    assert "group_by" in str(caught.value.remedy)


def test_groups_are_compared(client: Client) -> None:
    first = done(client, client.submit(FRAME, group_by="question"))
    second = done(client, client.submit([{"question": "who?", "context": "Eve is in"}], group_by="question"))
    (change,), summary = first.diff(second, by_group=True)
    assert (change["group"], change["first"]["answer"], change["second"]["answer"]) == ("who?", "Ann", "Eve")
    assert summary.changed == 1


def test_asyncio_has_the_same(client: Client) -> None:
    job = done(client, client.submit(FRAME))

    async def ask() -> None:
        again = await AsyncClient._over(client).job(job.id)
        assert await again.group_answers() == job.group_answers()
        pd.testing.assert_frame_equal(await again.groups(), job.groups())
        assert (await again.diff(again, by_group=True)).summary.same == 2

    asyncio.run(ask())
