"""`hasp up`: the suite in the foreground, until Ctrl-C."""

import json
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager

import typer

from cli.seed import Seeded, seed
from cli.settings import Settings
from cli.state import private_folder, write_private
from cli.suite import Suite
from cli.supervisor import Supervisor
from cli.table import Upstream

_MOMENT_SECONDS = 0.2
_MODEL = "claude-sonnet-4-6"
_PROMPT = "Write a short note to Maria Lopez about her visit on May 3."


class _Stop(BaseException):
    """Somebody asked us to stop. Not an Exception: nothing on the way may take it for a failure of its own."""


def up(settings: Settings) -> None:
    """Start, tell how to use it, keep it running, and stop it in order."""
    started = time.monotonic()
    developer_file = private_folder(settings.state.absolute()) / "dev.env"
    suite = Suite(
        state=settings.state,
        edge_port=settings.port,
        upstream=_upstream(settings),
        database_url=settings.database_url,
        postgres_bin=settings.postgres_bin,
    )
    with _stopping_on_signals():
        try:
            typer.echo("Starting PostgreSQL, four services and the edge …")
            suite.start()
            seeded = seed(suite)
            variables = f"HASP_BASE_URL={suite.base_url}\nHASP_API_KEY={seeded.api_key}\nHASP_ORG_ID={seeded.org_id}\n"
            write_private(developer_file, variables)
            typer.echo(_greeting(suite, seeded, time.monotonic() - started))
            _keep_running(suite)
        except _Stop:
            typer.echo("\nStopping …")
        finally:
            _ignore_signals()
            if suite.started:
                developer_file.unlink(missing_ok=True)
                suite.stop()
    typer.echo("Stopped.")


def _keep_running(suite: Suite) -> None:
    supervisor = Supervisor(suite)
    while True:
        for report in supervisor.tick():
            typer.echo(report, err=True)
        time.sleep(_MOMENT_SECONDS)


def _upstream(settings: Settings) -> Upstream | None:
    if settings.anthropic_api_key is None:
        return None
    return Upstream(settings.anthropic_api_key.get_secret_value(), settings.anthropic_base_url)


@contextmanager
def _stopping_on_signals() -> Iterator[None]:
    def stop(number: int, frame: object) -> None:
        _ignore_signals()
        raise _Stop

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)
    yield


def _ignore_signals() -> None:
    """While we stop: a second Ctrl-C must not leave half of it running."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)


def _greeting(suite: Suite, seeded: Seeded, seconds: float) -> str:
    if suite.upstream is None:
        provider = "ANTHROPIC_API_KEY is not set: the bundled SIMULATOR answers, no model; its text means nothing."
    else:
        provider = (
            f"Messages go to {suite.upstream.base_url or 'the model provider'} with the key of ANTHROPIC_API_KEY."
        )
    body = json.dumps({"model": _MODEL, "max_tokens": 200, "messages": [{"role": "user", "content": _PROMPT}]})
    return f"""
Hasp is ready after {seconds:.1f} s.

  base URL  {suite.base_url}
  key       {seeded.api_key}    (an example organization, agreement signed, every scope)
  logs      {os.path.relpath(suite.places.logs)}

{provider}

curl:
  curl -s {suite.base_url}/v1/messages -H 'x-api-key: {seeded.api_key}' -H 'content-type: application/json' -d '{body}'

Python (pip install anthropic):
  from anthropic import Anthropic
  client = Anthropic(base_url="{suite.base_url}", api_key="{seeded.api_key}")
  messages = [{{"role": "user", "content": "{_PROMPT}"}}]
  answer = client.messages.create(model="{_MODEL}", max_tokens=200, messages=messages)
  print(answer.content[0].text)

Ctrl-C stops everything.
"""
