"""The simulator's HTTP face: the provider's routes, and `/_sim` for tests to look behind them.

aiohttp, because it flushes every write at once with TCP_NODELAY set and lets a handler drop its connection.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import orjson
from aiohttp import web

from cli.simulator import events, models, refusals, usage
from cli.simulator.answer import Answer, compose
from cli.simulator.directives import LONGEST_WAIT, Directives
from cli.simulator.journal import Exchange, Journal, Outcome
from cli.simulator.prompt import CreateMessage, Prompt, read, texts
from cli.simulator.refusals import ProviderError

MAX_BODY = 32 * 1024 * 1024


class _ConnectionCutError(Exception):
    """The connection was dropped as directed: there is nothing left to answer."""


@dataclass(slots=True)
class Simulator:
    """State of one simulated provider."""

    api_key: str | None = None
    """The only key accepted; any key when None."""
    journal: Journal = field(default_factory=Journal)
    cache: usage.PromptCache = field(default_factory=usage.PromptCache)
    script: deque[Directives] = field(default_factory=deque)
    """Directions for the next requests, one each, used where the message itself gives none."""

    def application(self) -> web.Application:
        app = web.Application(client_max_size=2 * MAX_BODY, middlewares=[self._provider])
        app.add_routes(
            [
                web.post("/v1/messages", self.create_message),
                web.post("/v1/messages/count_tokens", self.count_tokens),
                web.get("/v1/models", self.list_models),
                web.get("/v1/models/{model}", self.get_model),
                web.get("/_sim/requests", self.show_journal),
                web.delete("/_sim/requests", self.clear_journal),
                web.post("/_sim/next", self.direct_next),
                web.get("/_sim/health", self.health),
            ]
        )
        return app

    @web.middleware
    async def _provider(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        """Journal, request id, key and error shape: the same around every route of the provider."""
        if request.path.startswith("/_sim/"):
            return await handler(request)
        body = await request.read()
        headers = {str(name).lower(): value for name, value in request.headers.items()}
        exchange = self.journal.open(
            request.method, request.path, request.query_string, headers, body.decode(errors="replace")
        )
        request["exchange"] = exchange
        request_id = request["request_id"] = f"req_sim{exchange.number:017d}"
        try:
            self._check_caller(request, body)
            response = await handler(request)
        except ProviderError as refusal:
            response = _refuse(refusal.status, refusal.message, request_id, refusal.headers)
        except web.HTTPException as error:
            response = _refuse(error.status, error.reason, request_id)
        except _ConnectionCutError:
            exchange.end(Outcome.CUT)
            return web.Response()  # goes nowhere: the transport is gone
        except BaseException:
            exchange.end(Outcome.ABANDONED)
            raise
        exchange.status = response.status
        exchange.end(Outcome.ANSWERED)
        if not response.prepared:
            response.headers["request-id"] = request_id
        return response

    def _check_caller(self, request: web.Request, body: bytes) -> None:
        bearer = request.headers.get("authorization", "").removeprefix("Bearer ").strip()
        key = request.headers.get("x-api-key") or bearer
        if not key:
            raise ProviderError(401, "x-api-key header is required")
        if self.api_key is not None and key != self.api_key:
            raise ProviderError(401, "invalid x-api-key")
        if "anthropic-version" not in request.headers:
            raise ProviderError(400, "anthropic-version: header is required")
        if len(body) > MAX_BODY:
            raise ProviderError(413, "Request exceeds the maximum size")

    async def create_message(self, request: web.Request) -> web.StreamResponse:
        prompt = read(CreateMessage, await request.read())
        directives = await self._play(request, prompt)
        if directives.garbage:
            return web.Response(text="<html><body>It works!</body></html>", content_type="text/html")
        exchange: Exchange = request["exchange"]
        answer = compose(prompt, directives, self.cache.account(prompt), exchange.number)
        if prompt.stream:
            return await self._stream(request, answer, directives)
        message = answer.wire()
        body = orjson.dumps(message)
        if directives.cut_after is not None:
            await self._cut_in_the_middle(request, body)
        exchange.report(answer.id, message["usage"])
        return web.Response(body=body, content_type="application/json")

    async def count_tokens(self, request: web.Request) -> web.StreamResponse:
        prompt = read(Prompt, await request.read())
        directives = await self._play(request, prompt)
        if directives.garbage:
            return web.Response(text="<html><body>It works!</body></html>", content_type="text/html")
        return _json({"input_tokens": usage.count(prompt)})

    async def list_models(self, request: web.Request) -> web.StreamResponse:
        listed = models.every()
        return _json({"data": listed, "has_more": False, "first_id": listed[0]["id"], "last_id": listed[-1]["id"]})

    async def get_model(self, request: web.Request) -> web.StreamResponse:
        model = models.find(request.match_info["model"])
        if model is None:
            raise ProviderError(404, f"model: {request.match_info['model']}")
        return _json(model)

    async def show_journal(self, request: web.Request) -> web.StreamResponse:
        """`?since=N` leaves out the first N ever received."""
        kept = self.journal.since(int(request.query.get("since", "0")))
        return _json({"total": self.journal.total, "requests": kept})

    async def clear_journal(self, request: web.Request) -> web.StreamResponse:
        self.journal.clear()
        self.script.clear()
        return _json({"total": self.journal.total})

    async def direct_next(self, request: web.Request) -> web.StreamResponse:
        """Takes `[{"status": 529}, {}]`: directions for the next request, for the one after it, and so on."""
        scenes = orjson.loads(await request.read())
        self.script.extend(Directives.of((name, str(value)) for name, value in scene.items()) for scene in scenes)
        return _json({"waiting": len(self.script)})

    async def health(self, request: web.Request) -> web.StreamResponse:
        return _json({"status": "ok"})

    async def _play(self, request: web.Request, prompt: Prompt) -> Directives:
        """Reads the directives and does what they want before the first byte: wait, hang, cut, refuse."""
        heard = " ".join(text for block in prompt.newest_user_turn.blocks for text in texts(block))
        try:
            directives = Directives.read(heard)
        except ValueError as error:
            raise ProviderError(400, str(error)) from None
        if directives == Directives() and self.script:
            directives = self.script.popleft()
        await asyncio.sleep(directives.delay_ms / 1000)
        if directives.hang:
            await asyncio.sleep(LONGEST_WAIT)
        if directives.cut or directives.hang:
            _drop(request)
        if directives.status is not None:
            headers = {"retry-after": str(directives.retry_after)} if directives.retry_after is not None else {}
            if directives.should_retry is not None:
                headers["x-should-retry"] = directives.should_retry
            # A refusal of the real provider quotes the request too: what it quotes must stay masked.
            raise ProviderError(directives.status, f"simulated {directives.status}: {heard}", headers)
        return directives

    async def _stream(self, request: web.Request, answer: Answer, directives: Directives) -> web.StreamResponse:
        exchange: Exchange = request["exchange"]
        response = web.StreamResponse(
            headers={
                "content-type": "text/event-stream; charset=utf-8",
                "cache-control": "no-cache",
                "request-id": request["request_id"],
            }
        )
        await response.prepare(request)
        exchange.status = response.status
        wait = 0.0
        for event in events.stream(answer, directives.chunk):
            if event.is_delta:
                await asyncio.sleep(wait)
                wait = directives.interval_ms / 1000
            await response.write(event.frame())
            exchange.events += 1
            if event.usage is not None:
                exchange.report(answer.id, event.usage)
            if exchange.events == directives.hang_after:
                await asyncio.sleep(LONGEST_WAIT)
            if exchange.events in (directives.cut_after, directives.hang_after):
                _drop(request)
            if exchange.events == directives.garbage_after:
                await response.write(b"event: content_block_delta\ndata: {this is no JSON\n\n")
            if exchange.events == directives.midstream_error:
                error = refusals.error(directives.error_type, "Overloaded", request["request_id"])
                await response.write(events.Event("error", error).frame())
                break
        await response.write_eof()
        return response

    async def _cut_in_the_middle(self, request: web.Request, body: bytes) -> None:
        response = web.StreamResponse(headers={"content-type": "application/json"})
        response.content_length = len(body)
        await response.prepare(request)
        await response.write(body[: len(body) // 2])
        _drop(request)


def _drop(request: web.Request) -> None:
    if request.transport is not None:
        request.transport.abort()
    raise _ConnectionCutError


def _refuse(status: int, message: str, request_id: str, headers: dict[str, str] | None = None) -> web.Response:
    return web.Response(
        status=status,
        body=refusals.body(status, message, request_id),
        content_type="application/json",
        headers=headers,
    )


def _json(value: object) -> web.Response:
    return web.Response(body=orjson.dumps(value), content_type="application/json")
