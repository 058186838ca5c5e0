"""How a service's process runs: one event loop, one exit code, its end with its parent's where that is wanted."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Collection, Coroutine
from typing import TypeVar

import structlog
import uvloop
from pydantic import ValidationError
from pydantic_settings import BaseSettings

log = structlog.get_logger()

S = TypeVar("S", bound=BaseSettings)


def load(settings: type[S]) -> S:
    """Read the settings from the environment. Exits with one message that names every missing or wrong variable, without their values."""
    try:
        return settings()
    except ValidationError as error:
        prefix = str(settings.model_config.get("env_prefix", ""))
        wrong = "\n".join(f"  {_variable(settings, item['loc'], prefix)}: {item['msg']}" for item in error.errors())
        sys.exit(f"settings are missing or wrong:\n{wrong}")


def _variable(settings: type[BaseSettings], location: tuple[int | str, ...], prefix: str) -> str:
    name = str(location[0]) if location else "?"
    field = settings.model_fields.get(name)
    alias = field.validation_alias if field is not None else None
    return alias if isinstance(alias, str) else f"{prefix}{name}".upper()


def run(main: Callable[[], Coroutine[None, None, None]]) -> None:
    """Run until `main` returns. An exception that escapes it is logged by type and place and ends the process with 1."""
    try:
        uvloop.run(main())
    except Exception as error:
        log.error("the process failed", exc_info=error)
        sys.exit(1)


async def end(tasks: Collection[asyncio.Task[None]], *, grace: float = 2.0) -> None:
    """Cancel background work and wait until it has ended, `grace` seconds at most: a watch says farewell to who would wait for it."""
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks, timeout=grace)


def in_background(work: Callable[[], Awaitable[None]], *, name: str, pause: float = 1.0) -> asyncio.Task[None]:
    """Keep `work` running: what escapes it is logged, and it is started again after `pause` seconds. Cancel the task to end it."""

    async def keep() -> None:
        while True:
            try:
                await work()
                return
            except Exception as error:
                log.error("background work failed", name=name, exc_info=error)
                await asyncio.sleep(pause)

    return asyncio.create_task(keep(), name=name)
