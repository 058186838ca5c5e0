"""Services behind the edge: real stubs, and behaviour that each request names in its x-test-scenario header.

A scenario is a JSON object: `initial` and `trailing` metadata, `sleep` seconds, `raise` text of an unhandled exception,
`code` of a gRPC status with `message`, and `reason`, `domain`, `metadata` of its ErrorInfo, `chunks` and `interval` of
an event stream, and `late`, the text of an error after them.
"""

import asyncio
import json
import threading
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
from google.api import httpbody_pb2
from google.protobuf import any_pb2, json_format, struct_pb2
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1._async import HealthServicer  # pyright: ignore[reportMissingImports]  # the stubs lack it
from hasp.compliance.v1 import baa_service_pb2 as baa_pb
from hasp.compliance.v1 import baa_service_pb2_grpc
from hasp.envelope.v1 import envelope_pb2
from hasp.identity.v1 import agent_service_pb2 as agents_pb
from hasp.identity.v1 import agent_service_pb2_grpc, api_key_service_pb2_grpc
from hasp.identity.v1 import api_key_service_pb2 as keys_pb
from hasp.inference.v1 import chat_service_pb2 as chat_pb
from hasp.inference.v1 import chat_service_pb2_grpc, messages_service_pb2_grpc, model_service_pb2_grpc
from hasp.inference.v1 import model_service_pb2 as models_pb

Context = grpc.aio.ServicerContext
STATUS_DETAILS = "grpc-status-details-bin"
SERVICES = ("identity", "inference", "compliance", "billing")


def metadata_of(context: Context) -> dict[str, str]:
    return {key: value for key, value in context.invocation_metadata() or () if isinstance(value, str)}


async def play(context: Context) -> dict[str, Any]:
    scenario = json.loads(metadata_of(context).get("x-test-scenario", "{}"))
    if "initial" in scenario:
        await context.send_initial_metadata(tuple(scenario["initial"].items()))
    if "sleep" in scenario:
        await asyncio.sleep(scenario["sleep"])
    if "raise" in scenario:
        raise RuntimeError(scenario["raise"])
    if "code" in scenario:
        await refuse(context, scenario)
    return scenario


async def refuse(context: Context, scenario: dict[str, Any]) -> None:
    code = next(code for code in grpc.StatusCode if code.value[0] == scenario["code"])
    trailing: list[tuple[str, str | bytes]] = list(scenario.get("trailing", {}).items())
    if "reason" in scenario:
        details = [any_pb2.Any(), any_pb2.Any()]
        details[0].Pack(
            error_details_pb2.ErrorInfo(
                reason=scenario["reason"],
                domain=scenario.get("domain", "hasp"),
                metadata=scenario.get("metadata", {}),
            )
        )
        details[1].Pack(
            error_details_pb2.BadRequest(
                field_violations=[error_details_pb2.BadRequest.FieldViolation(field="name", description="too long")]
            )
        )
        status = status_pb2.Status(code=scenario["code"], message=scenario["message"], details=details)
        trailing.append((STATUS_DETAILS, status.SerializeToString()))
    context.set_trailing_metadata(tuple(trailing))
    await context.abort(code, scenario.get("message", ""))


def request_id(context: Context) -> str:
    return metadata_of(context)["x-request-id"]


def meta(context: Context) -> envelope_pb2.Meta:
    return envelope_pb2.Meta(request_id=request_id(context))


def json_body(value: object) -> httpbody_pb2.HttpBody:
    return httpbody_pb2.HttpBody(content_type="application/json", data=json.dumps(value).encode())


class ApiKeys(api_key_service_pb2_grpc.ApiKeyServiceServicer):
    async def ListApiKeys(self, request: keys_pb.ListApiKeysRequest, context: Context) -> keys_pb.ListApiKeysResponse:
        await play(context)
        null = struct_pb2.Value(null_value=struct_pb2.NULL_VALUE)
        keys = [keys_pb.ApiKey(id=str(number), name="a key", last_used_at=null) for number in range(request.limit)]
        return keys_pb.ListApiKeysResponse(
            success=True,
            data=keys,
            meta=envelope_pb2.CursorMeta(request_id=request_id(context), next_cursor=null, has_more=False),
        )

    async def CreateApiKey(
        self, request: keys_pb.CreateApiKeyRequest, context: Context
    ) -> keys_pb.CreateApiKeyResponse:
        await play(context)
        return keys_pb.CreateApiKeyResponse(
            success=True, data=keys_pb.CreatedApiKey(name=request.name, scopes=request.scopes), meta=meta(context)
        )


class Agents(agent_service_pb2_grpc.AgentServiceServicer):
    async def UpdateAgent(
        self, request: agents_pb.UpdateAgentRequest, context: Context
    ) -> agents_pb.UpdateAgentResponse:
        await play(context)
        seen = struct_pb2.Value(string_value=json.dumps(json_format.MessageToDict(request.patch), sort_keys=True))
        agent = agents_pb.Agent(id=request.agent_id, name=str(context.time_remaining()), description=seen)
        return agents_pb.UpdateAgentResponse(
            success=True,
            data=agents_pb.AgentData(agent=agent),
            meta=agents_pb.UpdateAgentMeta(request_id=request_id(context)),
        )

    async def ListAgents(self, request: agents_pb.ListAgentsRequest, context: Context) -> agents_pb.ListAgentsResponse:
        await play(context)
        return agents_pb.ListAgentsResponse(
            success=True, meta=envelope_pb2.PageMeta(request_id=request_id(context), page=request.page)
        )

    async def ArchiveAgent(
        self, request: agents_pb.ArchiveAgentRequest, context: Context
    ) -> agents_pb.ArchiveAgentResponse:
        await play(context)
        return agents_pb.ArchiveAgentResponse(success=True, meta=meta(context))


class Messages(messages_service_pb2_grpc.MessagesServiceServicer):
    async def CreateMessage(
        self, request: httpbody_pb2.HttpBody, context: Context
    ) -> AsyncIterator[httpbody_pb2.HttpBody]:
        scenario = await play(context)
        if "chunks" not in scenario:
            yield json_body({"bytes": len(request.data), "meta": {"request_id": request_id(context)}})
            return
        for number in range(scenario["chunks"]):
            event = {"number": number, "sent": time.monotonic()}
            data = f"event: tick\ndata: {json.dumps(event)}\n\n".encode()
            yield httpbody_pb2.HttpBody(content_type="text/event-stream", data=data)
            await asyncio.sleep(scenario["interval"])
        if "late" in scenario:
            await context.abort(grpc.StatusCode.INTERNAL, scenario["late"])

    async def CountTokens(self, request: httpbody_pb2.HttpBody, context: Context) -> httpbody_pb2.HttpBody:
        await play(context)
        remaining = context.time_remaining()
        return json_body({"metadata": metadata_of(context), "deadline": remaining, "body": request.data.decode()})


class Chat(chat_service_pb2_grpc.ChatServiceServicer):
    async def CreateChat(self, request: chat_pb.ChatRequest, context: Context) -> AsyncIterator[httpbody_pb2.HttpBody]:
        await play(context)
        yield json_body({"success": True, "data": request.message, "meta": {"request_id": request_id(context)}})


class Models(model_service_pb2_grpc.ModelServiceServicer):
    async def GetModel(self, request: models_pb.GetModelRequest, context: Context) -> models_pb.GetModelResponse:
        await play(context)
        return models_pb.GetModelResponse(type="model", id=request.model_id)


class Baa(baa_service_pb2_grpc.BaaServiceServicer):
    async def DownloadAcceptance(
        self, request: baa_pb.DownloadAcceptanceRequest, context: Context
    ) -> httpbody_pb2.HttpBody:
        filename = f'attachment; filename="{request.acceptance_id}.pdf"'
        await context.send_initial_metadata((("content-disposition", filename),))
        return httpbody_pb2.HttpBody(content_type="application/pdf", data=b"%PDF-1.7 " + b"x" * 3_000)


# What a servicer lacks answers UNIMPLEMENTED, which is one of the answers to test.
# pyright: reportAbstractUsage=false
SERVICERS: dict[str, list[Callable[[grpc.aio.Server], None]]] = {
    "identity": [
        lambda server: api_key_service_pb2_grpc.add_ApiKeyServiceServicer_to_server(ApiKeys(), server),
        lambda server: agent_service_pb2_grpc.add_AgentServiceServicer_to_server(Agents(), server),
    ],
    "inference": [
        lambda server: messages_service_pb2_grpc.add_MessagesServiceServicer_to_server(Messages(), server),
        lambda server: chat_service_pb2_grpc.add_ChatServiceServicer_to_server(Chat(), server),
        lambda server: model_service_pb2_grpc.add_ModelServiceServicer_to_server(Models(), server),
    ],
    "compliance": [lambda server: baa_service_pb2_grpc.add_BaaServiceServicer_to_server(Baa(), server)],
    "billing": [],
}


class Backend:
    """All four services, each on a port of its own, on a loop in a thread of its own."""

    def __init__(self, tls_dir: Path, services: tuple[str, ...] = SERVICES) -> None:
        self._tls_dir = tls_dir
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._servers: dict[str, grpc.aio.Server] = {}
        self._health: dict[str, HealthServicer] = {}
        self.ports: dict[str, int] = {}
        self._thread.start()
        for service in services:
            self.ports[service] = self._run(self._start(service))

    def endpoints(self) -> dict[str, list[str]]:
        return {service: [f"127.0.0.1:{port}"] for service, port in self.ports.items()}

    def say_not_serving(self, service: str) -> None:
        state = health_pb2.HealthCheckResponse.NOT_SERVING
        self._run(self._health[service].set("", state))

    def stop(self) -> None:
        if self._loop.is_closed():
            return
        for server in self._servers.values():
            self._run(server.stop(0))
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _run(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(10)

    async def _start(self, service: str) -> int:
        server = grpc.aio.server(
            options=[("grpc.so_reuseport", 0), ("grpc.max_receive_message_length", 40 * 1024 * 1024)]
        )
        for add in SERVICERS[service]:
            add(server)
        self._health[service] = HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(self._health[service], server)
        credentials = grpc.ssl_server_credentials(
            [((self._tls_dir / f"{service}.key").read_bytes(), (self._tls_dir / f"{service}.pem").read_bytes())],
            (self._tls_dir / "ca.pem").read_bytes(),
            require_client_auth=True,
        )
        port = server.add_secure_port("127.0.0.1:0", credentials)
        await server.start()
        self._servers[service] = server
        return port
