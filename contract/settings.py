"""Every setting, read once from the environment in the two mains. Most are also a flag of the command that uses them.

The variable of a field is `BULKQA_` and its name in capitals; the README's table is made from this class.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

from pydantic import AliasChoices, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from contract.errors import UsageError

log = logging.getLogger("bulkqa.settings")

#: Old names of variables that are still read, and the names that replaced them, which win.
RENAMED = {"BULKQA_WINDOW": "BULKQA_QUEUE_AHEAD"}

#: The model that ships with this repository.
SHIPPED_MODEL = "minilm-l6-qa"


def _shipped() -> Path:
    """Where it lies: in the repository under `models`, in an installed wheel among the worker's files."""
    root = Path(__file__).resolve().parent.parent
    packaged = root / "worker" / "models" / SHIPPED_MODEL
    return packaged if packaged.is_dir() else root / "models" / SHIPPED_MODEL


class Settings(BaseSettings):
    """Times are in seconds, sizes in bytes."""

    model_config = SettingsConfigDict(
        env_prefix="BULKQA_", env_ignore_empty=True, frozen=True, extra="ignore", populate_by_name=True
    )

    redis_url: str = Field(
        "redis://localhost:6379/0",
        validation_alias=AliasChoices("BULKQA_REDIS_URL", "CELERY_BROKER_URL", "REDIS_URL"),
        description="Redis: redis://, rediss:// (TLS: see SECURITY.md), redis+socket:///path",
    )
    namespace: str = Field(
        "",
        pattern="^[a-z0-9-]{0,32}$",
        description="all keys in Redis begin with bulkqa: and this; default: the id of the storage",
    )
    storage_url: str = Field("bulkqa-data", description="folder or URL that producers and workers share")
    server: str = Field("", description="URL of a `producer serve` that `producer` asks instead of storage and Redis")
    model: str = Field(SHIPPED_MODEL, description="name of the model that a job asks for")
    model_dir: Path = Field(_shipped(), description="model directory of a worker")
    processes: int = Field(
        0,
        ge=0,
        le=256,
        description="processes of a worker; 0: one for every eight CPUs; one if threads are named, two beside a GPU",
    )
    threads: int = Field(
        0, ge=0, le=256, description="scoring threads of a process; 0: as many as there are CPUs for each process"
    )
    provider: str = Field(
        "auto", pattern="^(auto|cpu|cuda)$", description="where a worker scores; auto: CUDA where onnxruntime has it"
    )
    chunk_rows: int = Field(
        0, ge=0, description="rows in a chunk, at most; 0: 512, twice as many after each thousand chunks, up to 4,096"
    )
    chunk_bytes: int = Field(4 << 20, ge=1024, description="bytes of text in a chunk, at most")
    max_row_bytes: int = Field(1 << 20, ge=256, description="a larger row is an error of that row")
    read_memory: int = Field(
        384 << 20,
        ge=1024,
        description="memory in bytes that reading an input may take, where the kernel bounds it (Linux)",
    )
    queue_ahead: int = Field(
        1,
        ge=1,
        validation_alias=AliasChoices("BULKQA_QUEUE_AHEAD", "BULKQA_WINDOW"),
        description="messages waiting on the queue per worker",
    )
    max_attempts: int = Field(5, ge=1, description="attempts at a chunk that may die before its rows are given up")
    lease: float = Field(45.0, gt=0, le=900, description="a chunk whose worker is silent for this long is sent again")
    stall: float = Field(
        120.0, gt=0, description="a worker whose model is busy with one window for this long ends itself"
    )
    sweep_interval: float = Field(10.0, gt=0, description="pause between two rounds of the sweeper")
    health_file: Path | None = Field(
        None, description="touched by a worker or sweeper while it is well; default: one a process, see `worker health`"
    )
    api_token: SecretStr = Field(
        SecretStr(""),
        description="what `producer serve` asks for, several, separated by commas, while one replaces another; "
        "and what `producer --server` sends, the first",
    )
    api_upload_bytes: int = Field(
        4 << 30, ge=1024, description="bytes of a file that is sent to `producer serve`, at most"
    )
    api_jobs: int = Field(1000, ge=1, description="jobs under way past which `producer serve` takes no more")
    api_requests: int = Field(1200, ge=1, description="requests of a client a minute that `producer serve` answers")
    webhook_secret: SecretStr = Field(
        SecretStr(""), description="what the sweeper signs notifications with (Standard Webhooks): whsec_ and base64"
    )
    notify_private: bool = Field(
        default=False, description="whether notifications may go to addresses that are not public"
    )
    metrics_port: int = Field(
        0, ge=0, le=65535, description="where a worker or sweeper tells Prometheus what it does; 0: nowhere"
    )
    metrics_host: str = Field("127.0.0.1", description="address for that")
    log_format: str = Field("text", pattern="^(text|json)$", description="text or json")
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
