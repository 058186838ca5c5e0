"""The model provider, by the Anthropic SDK: any server that speaks its wire format.

Bodies go out and answers come in as bytes, so that fields the SDK does not know, and events nobody touched, pass unchanged. The SDK
retries nothing: what may be tried again is decided here, and never after the first byte.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self, cast

import httpx2
import orjson

from services.chassis.errors import ServiceError, ValidationFailed
from services.inference.domain.errors import RequestTooLarge, UpstreamFailure, UpstreamTimeout, UpstreamUnavailable

MESSAGES, COUNT_TOKENS = "/v1/messages", "/v1/messages/count_tokens"
_OVERLOADED = frozenset({429, 503, 529})
_PAUSE = 0.2


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds. `answer`: to the first byte, and of an answer in one piece to the last; `silence`: between two pieces of a stream."""

    connect: float = 5.0
    answer: float = 600.0
    silence: float = 120.0
    tries: int = 3


class Upstream:
    """One connection pool for the process."""

    def __init__(self, *, api_key: str, base_url: str | None, patience: Patience | None = None) -> None:
        # Importing the SDK takes 1.6 s of a core: when this is built, the PHI model is loading on another one.
        import anthropic

        self._patience = patience or Patience()
        self._client = anthropic.AsyncAnthropic(
            api_key=api_key,
            base_url=base_url,
            max_retries=0,
            # The SDK's other transport costs three times as much with sixteen requests under way.
            http_client=anthropic.DefaultAioHttpClient(
                limits=httpx2.Limits(max_connections=1000, max_keepalive_connections=200, keepalive_expiry=30),
                # Nothing of the environment steers where PHI goes; the provider's redirects are not followed.
                trust_env=False,
                follow_redirects=False,
            ),
        )

    async def close(self) -> None:
        await self._client.close()

    async def ask(self, path: str, body: bytes, headers: Mapping[str, str]) -> dict[str, Any]:
        """One JSON object. Raises UpstreamFailure, UpstreamUnavailable, UpstreamTimeout, or what the provider refused the request for."""
        async with asyncio.timeout(self._patience.answer) as limit:
            try:
                response = await self._open(path, body, headers, stream=False)
                answer = orjson.loads(response.content)
            except orjson.JSONDecodeError:
                raise UpstreamFailure("The model provider sent no valid answer.") from None
            except TimeoutError:
                if limit.expired():
                    raise UpstreamTimeout from None
                raise
        if not isinstance(answer, dict):
            raise UpstreamFailure("The model provider sent no valid answer.")
        return answer

    async def stream(self, path: str, body: bytes, headers: Mapping[str, str]) -> "Pieces":
        """The answer as it comes. Raises as `ask`, until the first byte is there."""
        response = await self._open(path, body, headers, stream=True)
        if not response.headers.get("content-type", "").startswith("text/event-stream"):
            await response.aclose()
            raise UpstreamFailure("The model provider sent no valid answer.")
        return Pieces(response)

    async def _open(self, path: str, body: bytes, headers: Mapping[str, str], *, stream: bool) -> httpx2.Response:
        tries = self._patience.tries
        for attempt in range(1, tries + 1):
            try:
                return await self._try(path, body, headers, stream=stream)
            except (UpstreamFailure, UpstreamUnavailable) as failure:
                # The provider that names a time is believed; the caller waits for it, not we.
                if attempt == tries or failure.retry_after is not None or failure.details.get("final"):
                    failure.details.pop("final", None)
                    raise
            await asyncio.sleep(_PAUSE * attempt * (1 + random.random()))  # noqa: S311 - spreads retries
        raise AssertionError("unreachable")

    async def _try(self, path: str, body: bytes, headers: Mapping[str, str], *, stream: bool) -> httpx2.Response:
        import anthropic

        patience = self._patience
        timeout = httpx2.Timeout(
            connect=patience.connect, read=patience.silence if stream else patience.answer, write=30.0, pool=10.0
        )
        try:
            response = await self._client.post(
                path,
                cast_to=httpx2.Response,
                content=body,
                options={
                    "headers": {"content-type": "application/json", "accept-encoding": "identity", **headers},
                    "timeout": timeout,
                },
                stream=stream,
                stream_cls=anthropic.AsyncStream[object],
            )
            # `cast_to` decides: the SDK hands out the response itself, read to its end or not.
            return cast("httpx2.Response", response)
        except anthropic.APITimeoutError:
            raise UpstreamTimeout from None
        except anthropic.APIConnectionError:
            raise UpstreamFailure("The model provider's connection broke before it answered.") from None
        except anthropic.APIStatusError as refusal:
            raise _translated(refusal.response) from None


class Pieces:
    """An answer under way, as the provider sends it."""

    def __init__(self, response: httpx2.Response) -> None:
        self._response = response

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._response.aclose()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Raises UpstreamTimeout when it falls silent, UpstreamFailure when it breaks off."""
        try:
            async for piece in self._response.aiter_raw():
                yield piece
        except httpx2.TimeoutException:
            raise UpstreamTimeout from None
        except httpx2.HTTPError:
            raise UpstreamFailure("The model provider's answer broke off.") from None


def _translated(response: httpx2.Response) -> ServiceError:
    """The provider's refusal as ours. Its words pass for what the caller can mend; placeholders in them stay masked."""
    status = response.status_code
    if status in (400, 413, 422):
        message = _message(response)
        return RequestTooLarge(message) if status == 413 else ValidationFailed(message)
    if status in _OVERLOADED:
        failure = UpstreamUnavailable(_retry_after(response))
        if status == 429:
            failure.details["final"] = True
        return failure
    if status == 408 or status == 504:
        return UpstreamTimeout()
    if status in (401, 403, 404):
        # Our key or our catalogue: not the caller's to mend, and not the caller's to read.
        said = UpstreamFailure("The model provider refused this gateway.", status)
        said.details["final"] = True
        return said
    return UpstreamFailure("The model provider failed.", status)


def _message(response: httpx2.Response) -> str:
    try:
        return str(orjson.loads(response.content)["error"]["message"])[:2_000]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return "The model provider refused the request."


def _retry_after(response: httpx2.Response) -> int | None:
    """Whole seconds; a date is not read."""
    value = response.headers.get("retry-after", "")
    return min(int(value), 86_400) if value.isdecimal() else None
