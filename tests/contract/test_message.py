"""Reading messages off the queue: bytes that anybody may have written."""

from __future__ import annotations

import base64
import copy
import json
from contextlib import suppress
from typing import Any

import pytest
from celery import Celery
from hypothesis import given
from hypothesis import strategies as st

from contract.queue import TASK, message
from contract.queue.message import LIMIT, NotOurs

JOB = "20261122-174512-3f9ac2d1"


def wrapped(body: object, **changed: Any) -> bytes:
    built = message.build("v1.tiny", JOB, 3)
    built["body"] = base64.b64encode(body if isinstance(body, bytes) else json.dumps(body).encode()).decode()
    return json.dumps(built | changed).encode()


def test_a_built_message_is_read_and_has_a_new_delivery_tag():
    one, two = message.build("v1.tiny", JOB, 3), message.build("v1.tiny", JOB, 3)
    assert message.read(message.dump(one)) == (JOB, 3)
    assert one["properties"]["delivery_tag"] != two["properties"]["delivery_tag"]
    assert message.read_unacked(message.dump_unacked("v1.tiny:d1", JOB, 3)) == ("v1.tiny:d1", JOB, 3)


def test_a_message_from_celery_is_read():
    app = Celery("x")
    with app.connection("memory://") as connection:
        channel = connection.default_channel
        app.send_task(TASK, args=[JOB, 3], queue="v1.tiny", connection=connection, declare=[])
        assert message.read(json.dumps(channel._get("v1.tiny"))) == (JOB, 3)


def test_a_message_of_a_later_version_may_carry_more():
    body = [[JOB, 3, "more"], {"later": True}, {"callbacks": None, "later": 1}]
    headers = message.build("v1.tiny", JOB, 3)["headers"] | {"later": {"a": 1}}
    assert message.read(wrapped(body, headers=headers)) == (JOB, 3)


@pytest.mark.parametrize("wish", ["eta", "expires", "group", "chord", "chain", "compression", "timelimit"])
def test_a_message_with_celery_options_is_refused(wish: str):
    built = message.build("v1.tiny", JOB, 3)
    built["headers"][wish] = [1, 1]
    with pytest.raises(NotOurs, match=wish):
        message.read(message.dump(built))


@pytest.mark.parametrize("wish", ["callbacks", "errbacks", "chord", "chain"])
def test_a_message_with_callbacks_is_refused(wish: str):
    with pytest.raises(NotOurs, match=wish):
        message.read(wrapped([[JOB, 3], {}, {wish: [{"task": TASK, "args": [JOB, 4]}]}]))


def test_length_and_depth_are_checked_before_parsing():
    right = wrapped([[JOB, 3], {}, {}])
    assert message.read(right + b" " * (LIMIT - len(right))) == (JOB, 3)
    with pytest.raises(NotOurs, match="bytes"):
        message.read(right + b" " * (LIMIT - len(right) + 1))
    with pytest.raises(NotOurs, match="too deep"):
        message.read(b"[" * 5000)
    with pytest.raises(NotOurs, match="too deep"):
        message.read(wrapped(b"[" * 5000))


@given(st.binary(max_size=200) | st.text(max_size=200))
def test_any_other_bytes_raise_not_ours(raw: bytes | str):
    for read in (message.read, message.read_unacked):
        with pytest.raises(NotOurs):
            read(raw)


_ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=6,
)


@given(st.data())
def test_an_altered_message_is_refused_or_gives_a_job_and_a_chunk(data: st.DataObject):
    built = copy.deepcopy(message.build("v1.tiny", JOB, 3))
    at = data.draw(st.sampled_from([built, built["headers"], built["properties"]]))
    at[data.draw(st.sampled_from(sorted(at)))] = data.draw(_ANY)
    with suppress(NotOurs):
        assert message.read(json.dumps(built)) == (JOB, 3)


@given(_ANY, _ANY)
def test_only_a_valid_job_and_chunk_pass(job: object, chunk: object):
    with pytest.raises(NotOurs):
        message.read(wrapped([[job, chunk if type(chunk) is not int else -1], {}, {}]))
