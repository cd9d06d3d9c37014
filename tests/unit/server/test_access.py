"""Tokens, addresses, and requests a minute."""

from __future__ import annotations

import pytest

from contract.errors import UsageError

pytest.importorskip("starlette")

from producer.server.access import Rate, check_address, cookie_of, is_among, tokens_of


def test_a_bucket_holds_a_minute_and_is_filled_steadily():
    now = 0.0
    rate = Rate(60, clock=lambda: now)
    assert [rate.take("a") for _ in range(60)] == [None] * 60
    assert rate.take("a") == 1
    assert rate.take("b") is None
    now = 1.0
    assert rate.take("a") is None
    assert rate.take("a") == 1
    now = 1000.0
    assert [rate.take("a") for _ in range(61)] == [None] * 60 + [1]


def test_of_very_many_clients_those_of_long_ago_are_forgotten():
    rate = Rate(1, clock=lambda: 0.0)
    for number in range(20_000):
        rate.take(str(number))
    assert len(rate._left) <= 10_000


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost", "LOCALHOST.", "127.3.2.1"])
def test_this_machine_alone_needs_no_token(host: str):
    check_address(host, ())


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.7", "example.org", ""])
def test_an_address_that_others_reach_needs_one(host: str):
    with pytest.raises(UsageError, match="token"):
        check_address(host, ())
    check_address(host, ("a" * 16,))


def test_tokens_are_several_and_long():
    assert tokens_of("") == ()
    assert tokens_of(f"{'a' * 16}, {'b' * 16},") == ("a" * 16, "b" * 16)
    with pytest.raises(UsageError, match="shorter"):
        tokens_of("secret")


def test_what_is_compared_may_be_anything():
    assert is_among("é", ["a", "é"])
    assert not is_among("", ["a"])
    assert not is_among("", [])
    assert cookie_of("a" * 16) != cookie_of("b" * 16)
