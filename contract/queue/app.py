"""The Celery application and its settings, each with the reason to depart from the default."""

from __future__ import annotations

from celery import Celery

from contract.queue import VISIBILITY_TIMEOUT, prefix, queue_name
from contract.queue.url import KEEPALIVE, read_url


def make_app(redis_url: str, namespace: str, *, patient: bool = True) -> Celery:
    """The application for a namespace of a Redis. `patient`: wait for Redis without a limit. Raises UsageError."""
    url = read_url(redis_url)
    app = Celery("bulkqa", broker=url.kombu, set_as_current=False)
    app.conf.update(
        broker_url=url.kombu,  # explicit: CELERY_BROKER_URL in the environment overrides the constructor's
        broker_use_ssl=url.tls or False,  # explicit: kombu verifies nothing if rediss:// has no query
        result_backend=None,
        task_ignore_result=True,
        task_serializer="json",
        accept_content=["json"],
        task_acks_late=True,
        task_reject_on_worker_lost=True,  # else the message of a killed child is acknowledged, its chunk lost
        task_acks_on_failure_or_timeout=True,  # a rejected message would loop forever; outcomes are in storage
        worker_prefetch_multiplier=1,  # more would take chunks that an idle worker could score
        worker_proc_alive_timeout=120,  # default 4 s: children that load a model would all be killed
        worker_cancel_long_running_tasks_on_connection_loss=False,  # the work is not lost with the connection
        worker_soft_shutdown_timeout=20,
        worker_enable_soft_shutdown_on_idle=False,
        worker_hijack_root_logger=False,
        worker_send_task_events=False,
        worker_enable_remote_control=False,  # nobody may control workers through Redis
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,  # no limit
        broker_channel_error_retry=True,  # else a READONLY or OOM reply ends the worker
        task_create_missing_queues=True,
        task_default_queue=queue_name("none"),
        broker_transport_options={
            "global_keyprefix": prefix(namespace),
            "visibility_timeout": VISIBILITY_TIMEOUT,
            "priority_steps": [0],  # one list per queue
            "unacked_restore_interval": 5,
            "unacked_restore_throttle": 1,
            "socket_timeout": 30,  # the default blocks forever on a half-open connection
            "socket_connect_timeout": 10,
            "socket_keepalive": True,
            # A worker waits for messages without a timeout: only this detects a dead connection, within a minute. The
            # default of the system is two hours.
            "socket_keepalive_options": KEEPALIVE,
            "health_check_interval": 15,
            "max_retries": None if patient else 1,
        },
    )
    return app
