"""Connections: how many, and how long they may say nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import pytest

pytest.importorskip("uvicorn")

from uvicorn import Config
from uvicorn.server import ServerState

from producer.server.run import Connection

GET = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"


async def app(_: Any, __: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


Connect = Callable[[], Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]


def served(most: int, silence: float, talk: Callable[[Connect], Awaitable[None]]) -> None:
    """Let a client talk to a server."""

    async def run() -> None:
        config, state = Config(app, ws="none"), ServerState()
        server = await asyncio.get_running_loop().create_server(
            lambda: Connection(config=config, server_state=state, app_state={}, most=most, silence=silence),
            "127.0.0.1",
        )
        writers = []

        async def connect() -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.sockets[0].getsockname()[1])
            writers.append(writer)
            return reader, writer

        async with server:
            await talk(connect)
            for writer in writers:
                writer.close()
            for writer in writers:
                with suppress(ConnectionError):
                    await writer.wait_closed()

    asyncio.run(asyncio.wait_for(run(), 30))


async def answer(reader: asyncio.StreamReader) -> bytes:
    return await reader.readuntil(b"\r\n")


def test_connections_that_say_nothing_keep_nobody_out():
    async def talk(connect: Connect) -> None:
        silent = [await connect() for _ in range(40)]
        for _ in range(5):
            reader, writer = await connect()
            writer.write(GET)
            assert b" 200 " in await answer(reader)
        assert [await reader.read() for reader, _ in silent[:32]] == [b""] * 32, "closed by the server"

    served(8, 60, talk)


@pytest.mark.parametrize("begin", [b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: localhost\r\n"])
def test_a_head_has_to_arrive_in_time(begin: bytes):
    async def talk(connect: Connect) -> None:
        reader, writer = await connect()
        writer.write(begin)
        assert await reader.read() == b""

    served(8, 0.05, talk)


def test_what_is_not_http_gets_a_problem():
    async def talk(connect: Connect) -> None:
        for data in (b"\x16\x03\x01\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n", GET[:-2] + b"Content-Length: -1\r\n\r\n"):
            reader, writer = await connect()
            writer.write(data)
            said = await reader.read()
            assert said.startswith(b"HTTP/1.1 400 ")
            assert b"application/problem+json" in said
            assert b'"code":"bad_request"' in said

    served(8, 60, talk)
