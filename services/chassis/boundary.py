"""The one interceptor every RPC passes: who calls, what the contract permits, limits, Idempotency-Key, errors, one log line.

grpc.aio sends an exception's own text to the client, so this boundary is a security control: only ServiceError crosses it with its words.
Order of checks: peer's certificate → token 401 → scope, agent path 403 → Idempotency-Key → gate 402 → limits 400/422.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, TypeVar

import grpc
import grpc.aio
import structlog
from google.protobuf.message import Message
from hasp.access.v1 import access_pb2

from services.chassis import access, database
from services.chassis.access import Authenticator, Call, Principal
from services.chassis.clock import Clock
from services.chassis.contract import Method
from services.chassis.errors import (
    AgentNotPermitted,
    InvalidApiKey,
    MissingScope,
    NotImplementedYet,
    ServiceError,
    ServiceUnavailable,
)
from services.chassis.idempotency import Fresh, Idempotency, Replay
from services.chassis.incoming import call_of, token_of
from services.chassis.limits import Limits
from services.chassis.statuses import abort_with, status_of

T = TypeVar("T")

_GRPC_TRANSIENT = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)

Gate = Callable[[Principal], Awaitable[None]]
"""Raises what the contract's `baa` asks for."""

log = structlog.get_logger()


class Boundary(grpc.aio.ServerInterceptor):
    """`answers` serves the methods that keep answers, `gate` those whose contract says `baa`; a service without such methods has neither."""

    def __init__(
        self,
        *,
        methods: Mapping[str, Method],
        authenticator: Authenticator,
        clock: Clock,
        answers: Idempotency | None = None,
        gate: Gate | None = None,
    ) -> None:
        self._methods = methods
        self._authenticator = authenticator
        self._clock = clock
        self._answers = answers
        self._gate = gate
        self._limits = Limits()
        self._wrapped: dict[str, grpc.RpcMethodHandler] = {}
        for method in methods.values():
            if method.access is None:
                continue
            if method.access.baa and gate is None:
                raise ValueError(f"{method.name} needs a gate")
            if method.access.idempotency == access_pb2.IDEMPOTENCY_ANSWER and answers is None:
                raise ValueError(f"{method.name} needs kept answers")

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler:
        name = handler_call_details.method
        wrapped = self._wrapped.get(name)
        if wrapped is None:
            handler = await continuation(handler_call_details)
            method = self._methods.get(name)
            if handler is None or method is None:
                return handler  # health, reflection, and what nobody serves
            wrapped = self._wrapped[name] = self._wrap(method, handler)
        return wrapped

    def _wrap(self, method: Method, handler: Any) -> grpc.RpcMethodHandler:
        coders = {
            "request_deserializer": handler.request_deserializer,
            "response_serializer": handler.response_serializer,
        }
        if handler.stream_unary is not None:
            raise ValueError(f"{method.name}: no client-streaming method is declared with a single answer")
        if handler.unary_unary is not None:
            return grpc.unary_unary_rpc_method_handler(self._unary(method, handler.unary_unary), **coders)
        if handler.unary_stream is not None:
            return grpc.unary_stream_rpc_method_handler(self._stream(method, handler.unary_stream), **coders)
        return grpc.stream_stream_rpc_method_handler(self._stream(method, handler.stream_stream), **coders)

    def _unary(self, method: Method, behaviour: Callable[..., Awaitable[Message]]) -> Callable[..., Awaitable[Message]]:
        async def serve(request: Message, context: grpc.aio.ServicerContext) -> Message:
            async def answer(call: Call) -> Message:
                await self._admit(call, method)
                if (
                    method.access is not None
                    and method.access.idempotency == access_pb2.IDEMPOTENCY_ANSWER
                    and call.idempotency_key
                ):
                    response = await self._once(call, method, request, context, behaviour)
                else:
                    await self._check(call, method, request)
                    response = await behaviour(request, context)
                await _send_headers(context, call)
                return response

            return await self._guard(method, context, answer)

        return serve

    def _stream(
        self, method: Method, behaviour: Callable[..., AsyncIterator[Message]]
    ) -> Callable[..., Awaitable[None]]:
        async def serve(request: Any, context: grpc.aio.ServicerContext) -> None:
            # Written with context.write and not yielded: the guard has to stand around every message.
            async def answer(call: Call) -> None:
                await self._admit(call, method)
                if isinstance(request, Message):
                    await self._check(call, method, request)
                produced = behaviour(request, context)
                if not hasattr(produced, "__aiter__"):
                    # The generated default of an unimplemented stream is a coroutine.
                    await produced  # pyright: ignore[reportGeneralTypeIssues]
                    raise NotImplementedYet
                first = True
                async for message in produced:
                    if first:
                        await _send_headers(context, call)
                        first = False
                    await context.write(message)
                if first:
                    await _send_headers(context, call)

            await self._guard(method, context, answer)

        return serve

    async def _guard(
        self, method: Method, context: grpc.aio.ServicerContext, answer: Callable[[Call], Awaitable[T]]
    ) -> T:
        started = time.perf_counter()
        call = call_of(method.name, context, self._clock)
        token = access.current.set(call)
        code, reason = "OK", ""
        try:
            return await answer(call)
        except ServiceError as error:
            code, reason = error.answer.code.name, error.reason
            await _send_headers(context, call)
            raise await abort_with(context, error, method.validation_status) from None
        except NotImplementedError:
            error = NotImplementedYet()
            code, reason = error.answer.code.name, error.reason
            raise await abort_with(context, error, method.validation_status) from None
        except grpc.aio.AbortError:
            code = "ABORTED"
            raise
        except (*database.UNAVAILABLE, grpc.aio.AioRpcError, TimeoutError) as failure:
            transient = not isinstance(failure, grpc.aio.AioRpcError) or failure.code() in _GRPC_TRANSIENT
            error = ServiceUnavailable() if transient else ServiceError("internal error")
            code, reason = error.answer.code.name, error.reason
            log.warning("a dependency failed", method=method.name, request_id=call.request_id, exc_info=failure)
            raise await abort_with(context, error, method.validation_status) from None
        except Exception as failure:
            code, reason = "INTERNAL", "INTERNAL_ERROR"
            log.error("unhandled failure", method=method.name, request_id=call.request_id, exc_info=failure)
            raise await abort_with(context, ServiceError("internal error"), method.validation_status) from None
        except BaseException:
            code = "CANCELLED"
            raise
        finally:
            access.current.reset(token)
            principal = call.principal
            log.info(
                "rpc",
                method=method.name,
                code=code,
                reason=reason,
                request_id=call.request_id,
                org_id=principal.org_id if principal else None,
                principal_id=principal.id if principal else None,
                workload=call.workload,
                duration_ms=round((time.perf_counter() - started) * 1000, 2),
            )

    async def _admit(self, call: Call, method: Method) -> None:
        """Authenticate and hold the contract's access rule against the caller."""
        rule = method.access
        if rule is not None and rule.callers:
            if call.workload not in rule.callers:
                raise AgentNotPermitted("This process may not call this method.")
            return
        token = token_of(call.headers)
        if token is None:
            raise InvalidApiKey
        principal = await self._authenticator.authenticate(token)
        if principal.draining and (rule is None or not rule.draining):
            raise InvalidApiKey
        call.principal = principal
        if rule is None or not rule.scope:
            raise MissingScope("(none declared)")
        if principal.kind == "agent":
            if rule.agents == access_pb2.AGENTS_UNSPECIFIED:
                raise AgentNotPermitted("Agent credentials may not call this path.")
        elif rule.agents == access_pb2.AGENTS_ONLY:
            raise AgentNotPermitted("Only agent credentials may call this path.")
        elif rule.scope not in principal.scopes:
            raise MissingScope(rule.scope)

    async def _check(self, call: Call, method: Method, request: Message) -> None:
        """The gate, then the contract's limits."""
        if method.access is not None and method.access.baa and self._gate is not None and call.principal is not None:
            await self._gate(call.principal)
        self._limits.check(request, method.body_field)

    async def _once(
        self,
        call: Call,
        method: Method,
        request: Message,
        context: grpc.aio.ServicerContext,
        behaviour: Callable[..., Awaitable[Message]],
    ) -> Message:
        """Run the first call with an Idempotency-Key and keep its answer; answer the others with it."""
        answers = self._answers
        if answers is None or call.idempotency_key is None:
            raise ValueError(method.name)
        claim = await answers.claim(call, hashlib.sha256(request.SerializeToString(deterministic=True)).digest())
        if not isinstance(claim, Fresh):
            return await _replay(claim, call, method, context)
        hook = database.before_commit.set(claim.apply)
        try:
            await self._check(call, method, request)
            response = await behaviour(request, context)
        except ServiceError as error:
            if 400 <= error.answer.http_status < 500 and not error.answer.retryable:
                status = status_of(error, method.validation_status)
                await answers.keep(claim, response=None, http_status=None, error=status.SerializeToString())
            else:
                await answers.drop(claim)
            raise
        except BaseException:
            await answers.drop(claim)
            raise
        finally:
            database.before_commit.reset(hook)
        await answers.keep(claim, response=response.SerializeToString(), http_status=call.http_status, error=None)
        return response


async def _replay(kept: Replay, call: Call, method: Method, context: grpc.aio.ServicerContext) -> Message:
    call.answer_headers |= {"idempotent-replayed": "true", "x-hasp-request-id": kept.request_id}
    call.http_status = kept.http_status
    if kept.error is not None:
        await _send_headers(context, call)
        raise await abort_with(context, kept.error, method.validation_status)
    return method.response.FromString(kept.response or b"")


async def _send_headers(context: grpc.aio.ServicerContext, call: Call) -> None:
    headers = [*call.answer_headers.items()]
    if call.http_status is not None:
        headers.append(("x-http-status", str(call.http_status)))
    if headers:
        call.answer_headers.clear()
        call.http_status = None
        await context.send_initial_metadata(tuple(headers))
