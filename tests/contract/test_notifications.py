"""Webhooks: events are delivered at least once, retried, and not to private addresses unless allowed."""

from __future__ import annotations

import asyncio
import io
import ipaddress
import socket
import threading
from pathlib import Path

import pytest
from standardwebhooks import Webhook

from contract.errors import UsageError
from contract.format import codec, layout
from contract.ledger import records
from contract.notifications import record
from contract.notifications.address import NotAllowedError, check_url, is_public, resolved
from contract.notifications.send import Sender
from contract.removal import write_note
from contract.settings import Settings
from contract.storage import Storage
from producer.input.options import ReadOptions
from producer.jobs.remove import delete
from producer.jobs.submit import submit
from producer.request import Request
from tests.acceptance.cluster import until
from tests.faults.tls import Authority
from tests.making import Clock, finish
from tests.receiver import SECRET, receiving
from tests.twins.queue import MemoryQueue
from tests.twins.storage import MemoryStorage

DAY = 24 * 3600.0


@pytest.fixture
def given(settings: Settings) -> Settings:
    return settings.model_copy(update={"webhook_secret": type(settings.webhook_secret)(SECRET), "notify_private": True})


def job_of(storage: Storage, given: Settings, url: str, key: str | None = None) -> str:
    request = Request(ReadOptions(), key=key, notify=url)
    return submit(io.BytesIO(b"question|context\na?|b\n"), storage, given, request).manifest.id


def ended(storage: Storage, given: Settings, url: str) -> str:
    job = job_of(storage, given, url)
    finish(job, storage, MemoryQueue(), given)
    return job


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("93.184.216.34", True),
        ("2606:2800:220:1::1", True),
        ("64:ff9b::5db8:d822", True),
        ("127.0.0.1", False),
        ("10.1.2.3", False),
        ("192.168.0.1", False),
        ("169.254.169.254", False),  # where clouds keep credentials
        ("100.64.0.1", False),
        ("0.0.0.0", False),
        ("224.0.0.1", False),
        ("255.255.255.255", False),
        ("::1", False),
        ("::", False),
        ("fe80::1", False),
        ("fec0::1", False),
        ("3fff::1", False),
        ("5f00::1", False),
        ("::8.8.8.8", False),
        ("192.88.99.1", False),
        ("64:ff9b::8.8.8.8", True),
        ("fd00::1", False),
        ("ff02::1", False),
        ("::ffff:127.0.0.1", False),
        ("::ffff:169.254.169.254", False),
        ("2002:7f00:1::", False),  # 6to4 of 127.0.0.1
        ("64:ff9b::a9fe:a9fe", False),
        ("64:ff9b:1::7f00:1", False),
    ],
)
def test_which_addresses_are_public(address: str, public: bool):
    assert is_public(ipaddress.ip_address(address)) is public


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "2130706433", "0x7f.1", "[::1]", "[::ffff:127.0.0.1]"])
def test_a_host_name_is_looked_up_and_its_addresses_checked(host: str):
    """So is a number that the system takes for an address."""
    with pytest.raises(NotAllowedError, match="not public"):
        asyncio.run(resolved(f"http://{host}:8080/x", private=False))
    parts, addresses = asyncio.run(resolved(f"http://{host}:8080/x", private=True))
    assert all(map(ipaddress.ip_address, addresses))
    assert parts.port == 8080


@pytest.mark.parametrize(
    "url",
    [
        "",
        "ftp://x/",
        "http://",
        "https://u:p@x/",
        "http://x:0/",
        "http://x:99999/",
        "file:///etc/passwd",
        "http://x/\n",
    ],
)
def test_an_invalid_url_is_refused_before_the_input_is_read(url: str):
    with pytest.raises(UsageError):
        check_url(url)


def test_an_event_is_delivered_once_with_the_status_and_no_storage_places(given: Settings):
    storage = MemoryStorage()
    with receiving() as receiver:
        job = job_of(storage, given, receiver.url)
        sender = Sender(storage, given)
        sender.round()
        assert record.of(storage, job).state == "waiting"
        assert receiver.heard == []
        finish(job, storage, MemoryQueue(), given)
        for _ in range(3):
            sender.round()
        (event,) = receiver.events()
        headers = receiver.heard[0][0]
    found = record.of(storage, job)
    assert (found.state, [one.status for one in found.attempts]) == ("delivered", [204])
    assert record.owed(storage) == []
    assert (event["type"], event["data"]["id"]) == ("job.completed", job)
    assert event["data"]["request_counts"]["answered"] == 1
    assert not {"output_uri", "error_uri", "outputs"} & set(event["data"])
    assert headers["webhook-id"] == f"msg_{job}"
    assert headers["Host"].startswith("localhost:")


def test_delivery_is_retried_for_a_day_and_each_attempt_recorded(given: Settings):
    storage, clock = MemoryStorage(), Clock()
    with receiving(*[500] * 99) as receiver:
        job = ended(storage, given, receiver.url)
        sender = Sender(storage, given, clock)
        clock.now = records.report(storage, job).finished_at or 0.0  # type: ignore[union-attr]
        first = clock.now
        while (found := record.of(storage, job)).state == "pending":
            clock.now = max(clock.now, found.next_at or 0.0)
            sender.round()
        assert len(receiver.heard) == len(found.attempts) == len(record.PAUSES) + 1
        assert len({headers["webhook-id"] for headers, _ in receiver.heard}) == 1
    assert found.state == "given_up"
    assert found.attempts[-1].at - first == pytest.approx(DAY, rel=0.05)
    assert {one.problem for one in found.attempts} == {"answered 500"}
    sender.round()
    assert record.owed(storage) == []


def test_no_retry_comes_early(given: Settings):
    storage, clock = MemoryStorage(), Clock()
    with receiving(500) as receiver:
        job = ended(storage, given, receiver.url)
        clock.now = (records.report(storage, job).finished_at or 0.0) + 1  # type: ignore[union-attr]
        sender = Sender(storage, given, clock)
        for _ in range(5):
            sender.round()
        assert len(receiver.heard) == 1
        clock.now += record.PAUSES[0]
        Sender(storage, given, clock).round()  # one that knows nothing of what was before
        assert len(receiver.heard) == 2
    assert record.of(storage, job).state == "delivered"


@pytest.mark.parametrize(
    ("answer", "problem", "state"),
    [
        (302, "answered 302, and redirects are not followed", "pending"),
        (410, "answered 410", "given_up"),
        (404, "answered 404", "pending"),
    ],
)
def test_any_status_but_2xx_is_a_failure_with_a_problem(given: Settings, answer: int, problem: str, state: str):
    storage = MemoryStorage()
    with receiving(answer) as receiver:
        job = ended(storage, given, receiver.url)
        Sender(storage, given).round()
        assert len(receiver.heard) == 1
    found = record.of(storage, job)
    assert (found.state, found.attempts[0].problem) == (state, problem)


def test_private_addresses_get_no_events_unless_allowed(given: Settings):
    storage = MemoryStorage()
    with receiving() as receiver:
        job = ended(storage, given, receiver.url)
        Sender(storage, given.model_copy(update={"notify_private": False})).round()
        assert receiver.heard == []
    assert "not public" in record.of(storage, job).attempts[0].problem


def named(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> None:
    """Have localhost mean these addresses."""
    looked_up = socket.getaddrinfo

    def getaddrinfo(host: str, port: int, *args, **options):
        if host != "localhost":
            return looked_up(host, port, *args, **options)
        return [info for address in addresses for info in looked_up(address, port, *args, **options)]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


def test_the_next_address_of_a_name_is_tried_where_one_cannot_be_connected_to(
    given: Settings, monkeypatch: pytest.MonkeyPatch
):
    """/etc/hosts names ::1 before 127.0.0.1 in many places, and not everything listens there."""
    storage = MemoryStorage()
    named(monkeypatch, "::1", "127.0.0.2", "127.0.0.1")
    with receiving(500) as receiver:
        failed, told = ended(storage, given, receiver.url), ended(storage, given, receiver.url)
        Sender(storage, given).round()
        assert len(receiver.heard) == 2, "an answer, whichever, is the last word of an attempt"
    away = ended(storage, given, receiver.url)
    Sender(storage, given).round()
    states = {record.of(storage, job).state for job in (failed, told)}
    assert states == {"pending", "delivered"}
    problem = record.of(storage, away).attempts[0].problem
    assert all(f"{address}: " in problem for address in ("::1", "127.0.0.2", "127.0.0.1"))


def test_a_name_with_one_private_address_among_public_ones_is_refused(monkeypatch: pytest.MonkeyPatch):
    named(monkeypatch, "93.184.216.34", "127.0.0.1")
    with pytest.raises(NotAllowedError, match=r"127\.0\.0\.1"):
        asyncio.run(resolved("http://localhost/x", private=False))


def test_while_secrets_are_rotated_both_sign(given: Settings):
    storage, old = MemoryStorage(), "whsec_b2xkIHNlY3JldCBvZiBhIHJlY2VpdmVy"
    secret = type(given.webhook_secret)(f"{SECRET}, {old}")
    with receiving() as receiver:
        ended(storage, given, receiver.url)
        Sender(storage, given.model_copy(update={"webhook_secret": secret})).round()
        (event,) = receiver.events()
        ((headers, body),) = receiver.heard
    assert Webhook(old).verify(body, headers) == event


def test_no_event_is_sent_unsigned(given: Settings):
    storage = MemoryStorage()
    secret = type(given.webhook_secret)
    with receiving() as receiver:
        job = ended(storage, given, receiver.url)
        Sender(storage, given.model_copy(update={"webhook_secret": secret("")})).round()
        assert receiver.heard == []
    assert "BULKQA_WEBHOOK_SECRET" in record.of(storage, job).attempts[0].problem
    for wrong in ("whsec_", "whsec_é", "whsec_a", f"{SECRET},whsec_a"):
        with pytest.raises(UsageError, match="BULKQA_WEBHOOK_SECRET"):
            Sender(storage, given.model_copy(update={"webhook_secret": secret(wrong)}))


def test_a_certificate_is_verified_for_the_name_though_an_address_is_connected_to(
    given: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    right, other = (Authority.make(tmp_path, name, host=name) for name in ("localhost", "elsewhere"))
    storage = MemoryStorage()
    for authority, trusted, state in (
        (right, right, "delivered"),
        (right, other, "pending"),
        (other, other, "pending"),
    ):
        monkeypatch.setenv("SSL_CERT_FILE", str(trusted.ca))
        with receiving(certificate=authority.chain) as receiver:
            job = ended(storage, given, receiver.url)
            Sender(storage, given).round()
        found = record.of(storage, job)
        assert found.state == state, found
        assert state == "delivered" or "certificate" in found.attempts[0].problem.lower()


def test_a_slow_receiver_does_not_delay_others(given: Settings, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("contract.notifications.send._SECONDS", 0.5)
    storage = MemoryStorage()
    with receiving("hang") as slow, receiving() as quick:
        late, told = ended(storage, given, slow.url), ended(storage, given, quick.url)
        away = ended(storage, given, "http://127.0.0.1:9/")
        Sender(storage, given).round()
        assert len(quick.heard) == 1
    assert record.of(storage, told).state == "delivered"
    assert record.of(storage, late).attempts[0].problem == "no answer within 0.5 s"
    assert record.of(storage, away).attempts[0].problem.startswith("no answer: ")


def test_a_host_that_says_nothing_has_its_share_and_no_round_waits_for_it(given: Settings):
    """64 jobs of a host that accepts connections and never answers, and one of another host after them."""
    storage, stopped = MemoryStorage(), threading.Event()
    given = given.model_copy(update={"sweep_interval": 0.05})
    with receiving(*["hang"] * 64) as silent, receiving() as quick:
        other = quick.url.replace("localhost", "127.0.0.1")
        silent_jobs = [ended(storage, given, silent.url) for _ in range(64)]
        told = [ended(storage, given, other)]
        sender = threading.Thread(target=Sender(storage, given).run, args=(stopped,))
        sender.start()
        try:
            until(lambda: record.of(storage, told[0]).state == "delivered", "the other host's event")
            until(lambda: len(silent.heard) == 4, "the silent host's share")
            told.append(ended(storage, given, other))
            until(lambda: record.of(storage, told[1]).state == "delivered", "the other host's event")
            assert not any(record.attempts(storage, job) for job in silent_jobs), "the first attempts are under way"
            assert len(silent.heard) == 4, "its share"
        finally:
            stopped.set()
            silent.ended.set()
            sender.join()
    tried = [attempts for job in silent_jobs if (attempts := record.attempts(storage, job))]
    assert len(tried) == 4, "those that waited for their turn are tried by the next sweeper"


def test_a_damaged_job_does_not_delay_others(given: Settings):
    storage = MemoryStorage()
    with receiving() as receiver:
        bad, good = ended(storage, given, receiver.url), ended(storage, given, receiver.url)
        storage.create(layout.notification(bad, 1), b"{")
        Sender(storage, given).round()
        assert [event["data"]["id"] for event in receiver.events()] == [good]


def test_a_pending_webhook_without_a_job_is_forgotten_after_a_day(given: Settings):
    storage, clock = MemoryStorage(), Clock()
    for job in ("key-0123", "strange"):
        write_note(storage, layout.owed(job), clock.now)
    sender = Sender(storage, given, clock)
    sender.round()
    assert len(record.owed(storage)) == 2, "a submission may be under way"
    clock.now += DAY + 1
    sender.round()
    assert record.owed(storage) == []


def test_a_repeated_key_notifies_the_first_url_once(given: Settings):
    storage = MemoryStorage()
    with receiving() as first, receiving() as second:
        job = job_of(storage, given, first.url, key="k")
        finish(job, storage, MemoryQueue(), given)
        Sender(storage, given).round()
        assert job_of(storage, given, second.url, key="k") == job
        Sender(storage, given).round()
        assert (len(first.heard), len(second.heard)) == (1, 0)


def test_a_removed_job_is_not_notified_any_more(given: Settings):
    storage = MemoryStorage()
    with receiving(500) as receiver:
        job = ended(storage, given, receiver.url)
        Sender(storage, given).round()
        delete(job, storage, MemoryQueue())
        assert record.owed(storage) == []
        assert not [name for name, _ in storage.sizes(layout.folder(job))]


def test_ended_jobs_cost_a_round_nothing(given: Settings):
    storage = MemoryStorage()
    with receiving() as receiver:
        for _ in range(5):
            ended(storage, given, receiver.url)
        Sender(storage, given).round()
        assert len(receiver.heard) == 5
    read: list[str] = []
    storage.read = lambda key: read.append(key) or b""  # type: ignore[method-assign,func-returns-value]
    Sender(storage, given).round()
    assert read == []


def test_a_notification_survives_json(given: Settings):
    storage = MemoryStorage()
    with receiving(500) as receiver:
        job = ended(storage, given, receiver.url)
        Sender(storage, given).round()
    found = record.of(storage, job)
    assert codec.read(record.Notification, codec.dump(found)) == found
