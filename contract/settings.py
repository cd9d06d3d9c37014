"""Every setting, read once from the environment by the two commands. Most are also flags of the commands that use them.

The variable of a field is `BULKQA_` and its name in capitals; `docs/settings.md` is generated from this class.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

from pydantic import AliasChoices, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from contract import SHIPPED_MODEL, shipped_model
from contract.errors import UsageError

log = logging.getLogger("bulkqa.settings")

#: Old names of variables, which are still read, and their new names, which win.
RENAMED = {"BULKQA_WINDOW": "BULKQA_QUEUE_AHEAD"}


class Settings(BaseSettings):
    """Times are in seconds, sizes in bytes."""

    model_config = SettingsConfigDict(
        env_prefix="BULKQA_", env_ignore_empty=True, frozen=True, extra="ignore", populate_by_name=True
    )

    redis_url: str = Field(
        "redis://localhost:6379/0",
        validation_alias=AliasChoices("BULKQA_REDIS_URL", "CELERY_BROKER_URL", "REDIS_URL"),
        description="Redis: redis://, rediss:// (TLS: see SECURITY.md) or redis+socket:///path",
    )
    namespace: str = Field(
        "",
        pattern="^[a-z0-9-]{0,32}$",
        description="all keys in Redis begin with bulkqa: and this; default: the id of the storage",
    )
    storage_url: str = Field("bulkqa-data", description="folder or URL that producers and workers share")
    server: str = Field("", description="URL of a `producer serve` that `producer` uses instead of storage and Redis")
    model: str = Field(SHIPPED_MODEL, description="name of the model that a job asks for")
    model_dir: Path = Field(shipped_model(), description="model directory of a worker")
    processes: int = Field(
        0,
        ge=0,
        le=256,
        description="processes of a worker; 0: one for every eight CPUs, one if threads are set, two on a GPU",
    )
    threads: int = Field(
        0, ge=0, le=256, description="scoring threads of each process; 0: one for each CPU of the process"
    )
    provider: str = Field(
        "auto", pattern="^(auto|cpu|cuda)$", description="where a worker scores; auto: CUDA if onnxruntime has it"
    )
    chunk_rows: int = Field(
        0, ge=0, description="rows in a chunk, at most; 0: 512, doubled after each thousand chunks, up to 4,096"
    )
    chunk_bytes: int = Field(4 << 20, ge=1024, description="bytes of text in a chunk, at most")
    max_row_bytes: int = Field(1 << 20, ge=256, description="bytes of a row, at most; a larger row gets an error")
    read_memory: int = Field(
        384 << 20,
        ge=1024,
        description="bytes of memory for reading an input, at most, if the kernel can limit it (Linux)",
    )
    queue_ahead: int = Field(
        1,
        ge=1,
        validation_alias=AliasChoices("BULKQA_QUEUE_AHEAD", "BULKQA_WINDOW"),
        description="messages waiting on the queue for each worker",
    )
    max_attempts: int = Field(5, ge=1, description="number of attempts that may die before a chunk is given up")
    lease: float = Field(45.0, gt=0, le=900, description="a chunk whose worker is silent for this long is sent again")
    stall: float = Field(
        120.0, gt=0, description="a worker whose model is busy with one window for this long ends itself"
    )
    sweep_interval: float = Field(10.0, gt=0, description="pause between two rounds of the sweeper")
    health_file: Path | None = Field(
        None,
        description="file that a healthy worker or sweeper touches; default: one each, see `worker health`",
    )
    api_token: SecretStr = Field(
        SecretStr(""),
        description="token that `producer serve` requires, several separated by commas during a rotation; "
        "`producer --server` sends the first",
    )
    api_upload_bytes: int = Field(4 << 30, ge=1024, description="bytes of an upload to `producer serve`, at most")
    api_upload_ratio: int = Field(
        500,
        ge=1,
        description="bytes to which each byte of an upload to `producer serve` may expand; a MiB is always allowed",
    )
    api_upload_rows: int = Field(50_000_000, ge=1, description="rows of an upload to `producer serve`, at most")
    api_upload_text: int = Field(
        16 << 30, ge=1024, description="bytes of the rows of an upload to `producer serve`, at most"
    )
    api_jobs: int = Field(1000, ge=1, description="unfinished jobs beyond which `producer serve` accepts no more")
    api_requests: int = Field(
        1200,
        ge=1,
        description="requests per minute that `producer serve` accepts from each token, or address without one",
    )
    api_exports: int = Field(
        32,
        ge=1,
        description="results, errors and diffs that `producer serve` sends each token, or address without one, at once",
    )
    api_connections: int = Field(
        512,
        ge=1,
        description="connections that `producer serve` holds at once, at most; never more than half of its open files",
    )
    api_proxies: str = Field(
        "",
        description="addresses and networks of the proxies in front of `producer serve`, separated by commas; it "
        "accepts X-Forwarded-For only from them",
    )
    webhook_secret: SecretStr = Field(
        SecretStr(""),
        description="secret with which the sweeper signs webhooks (Standard Webhooks), whsec_ and base64; several "
        "separated by commas during a rotation",
    )
    notify_private: bool = Field(default=False, description="whether webhooks may go to addresses that are not public")
    metrics_port: int = Field(
        0, ge=0, le=65535, description="port where a worker or sweeper serves its metrics to Prometheus; 0: none"
    )
    metrics_host: str = Field("127.0.0.1", description="address on which that port listens")
    log_format: str = Field("text", pattern="^(text|json)$", description="format of log lines")
    log_level: str = Field("INFO", description="DEBUG, INFO, WARNING or ERROR")


def load(**flags: Any) -> Settings:
    """Settings from the environment, overridden by the flags that are not None. Raises UsageError.

    An environment variable under its old name is read, and logged as deprecated.
    """
    for old, new in RENAMED.items():
        if os.environ.get(old):
            log.warning("%s is deprecated: its new name is %s", old, new)
    try:
        return Settings(**{_alias(name): value for name, value in flags.items() if value is not None})
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0]) if first["loc"] else "?"
        variable = name if name.isupper() else f"BULKQA_{name.upper()}"
        raise UsageError(f"{variable}: {first['msg']} (got {first['input']!r})") from error


def _alias(name: str) -> str:
    """The key under which a field's value wins over the environment: its first alias, where it has several."""
    aliases = Settings.model_fields[name].validation_alias
    return str(aliases.choices[0]) if isinstance(aliases, AliasChoices) else name
