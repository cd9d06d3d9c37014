"""The URL of a Redis: its options, and that Celery and redis-py get the same connection."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from contract.errors import UsageError
from contract.queue.app import make_app
from contract.queue.redis import RedisQueue
from contract.queue.url import public_address, read_url


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://localhost:6379/0", "redis://localhost:6379/0"),
        ("redis://user:secret@host:6379/2", "redis://host:6379/2"),
        ("rediss://:secret@host/0?ssl_cert_reqs=none&password=secret", "rediss://host/0"),
        ("redis://:s%40cret@[::1]:6379", "redis://[::1]:6379"),
        ("redis+socket:///tmp/me@home/redis.sock?virtual_host=0", "redis+socket:///tmp/me@home/redis.sock"),
        ("redis+socket://:s3cret@/tmp/redis.sock", "redis+socket:///tmp/redis.sock"),
        ("unix://s3cret@/tmp/me@home/redis.sock", "unix:///tmp/me@home/redis.sock"),
    ],
)
def test_a_url_is_shown_without_user_and_password(url: str, shown: str):
    assert public_address(url) == shown


@pytest.mark.parametrize(
    "url",
    [
        "redis://user:s3cret",
        "redis://:s3cret",
        "s3cret",
        "redis://:s3c/ret@host:6379/0",
        "redis://:s3c#ret?@host:6379/0",
        "sentinel://:s3cret@a:1;sentinel://:s3cret@b:2",
        "redis:/:s3cret@host",
        "redis:///:s3cret@host",
        "rediss//:s3cret@host",
        "redis:user:s3cret@host",
        "REDIS:/:s3/cr@et@host",
        "s3/cret@host",
        ":s3://cret@host",
        "redis+socket:///:s3cret@host",
        "redis+socket:/:s3cret@host",
        "redis://host/0#s3cret",
        "redis://host/s3cret",
    ],
)
def test_an_invalid_url_is_not_shown(url: str):
    with pytest.raises(UsageError) as caught:
        read_url(url)
    assert not any(part in str(caught.value) for part in ("s3c", "cret", url))


NO_ADDRESSES = [
    "http://host/",
    "localhost:6379",
    "redis://:sec/ret@host:6379/0",
    "redis://host:99999999/0",
    "",
    "redis://u:1#sec@host/0",
    "redis:/:secret@host",
    "redis:///:secret@host",
    "rediss//:secret@host",
    "redis:user:secret@host",
    "redis+socket:///tmp/s?virtual_host=:secret@host",
    "redis://host/one",
    "redis+socket:///tmp/s?virtual_host=one",
]
#: Unknown options are refused rather than ignored.
UNKNOWN_OPTIONS = [
    "rediss://u:sec@host/0?ssl_ca_cert=ca.pem",
    "rediss://u:sec@host/0?ssl_cert_reqs=maybe",
    "rediss://u:sec@host/0?ssl_check_hostname=",
    "rediss://u:sec@host/0?sec",
    "rediss://u:1?sec=1@host/0",
    "rediss://host/0?password=sec",
    "redis://host/0?ssl_cert_reqs=required",
    "redis://host/0?socket_timeout=5",
    "rediss://u:sec@host/0?ssl_ca_certs=/nowhere/ca.pem",
]


@pytest.mark.parametrize("url", NO_ADDRESSES + UNKNOWN_OPTIONS)
def test_an_invalid_url_or_unknown_option_is_a_usage_error(url: str):
    for use in (RedisQueue, make_app):
        with pytest.raises(UsageError, match="BULKQA_REDIS_URL") as caught:
            use(url, "test")
        assert "sec" not in str(caught.value)


@pytest.mark.parametrize(
    ("query", "verify", "hostname"),
    [
        ("", ssl.CERT_REQUIRED, True),
        ("?ssl_ca_certs={ca}", ssl.CERT_REQUIRED, True),
        ("?ssl_cert_reqs=required&ssl_ca_certs={ca}", ssl.CERT_REQUIRED, True),
        ("?ssl_cert_reqs=CERT_REQUIRED", ssl.CERT_REQUIRED, True),
        ("?ssl_cert_reqs=optional", ssl.CERT_REQUIRED, True),
        ("?ssl_check_hostname=false", ssl.CERT_REQUIRED, False),
        ("?ssl_cert_reqs=none", ssl.CERT_NONE, False),
    ],
)
def test_celery_and_our_client_verify_the_same(tmp_path: Path, query: str, verify: ssl.VerifyMode, hostname: bool):
    ca = tmp_path / "my ca.pem"
    ca.touch()
    url = "rediss://user:p%40ss@host:6380/2" + query.format(ca=str(ca).replace(" ", "%20"))
    app, queue = make_app(url, "test"), RedisQueue(url, "test")
    with app.connection() as connection:
        # kombu's channel would connect; this is what it hands to redis-py's connection.
        celery = {"host": connection.hostname, "port": connection.port, "db": int(connection.virtual_host)} | {
            "username": connection.userid, "password": connection.password} | connection.ssl  # fmt: skip
    ours = queue._redis.connection_pool.connection_kwargs
    assert celery == {name: ours[name] for name in celery}
    made = queue._redis.connection_pool.connection_class(**ours)
    assert (made.cert_reqs, made.check_hostname) == (verify, hostname)
    assert made.ca_certs == (str(ca) if "ssl_ca_certs" in query else None)
    assert (made.username, made.password) == ("user", "p@ss")
    queue.close()
    app.close()


def test_a_url_without_tls_has_no_tls_options():
    assert read_url("redis://:secret@host:6379/1") == ("redis://:secret@host:6379/1",) * 2 + ({},)
    assert read_url("redis+socket:///tmp/s?virtual_host=1").client == "unix:///tmp/s?db=1"
