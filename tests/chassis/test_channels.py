"""Channels over slow networks and busy machines."""

from pathlib import Path

from grpc_health.v1 import health_pb2, health_pb2_grpc

from services.chassis.boundary import Boundary
from services.chassis.channels import connect
from services.chassis.clock import SystemClock
from services.chassis.server import Server
from services.chassis.tls import Tls
from tests.fakes import Tokens
from tests.proxy import proxies


async def test_a_handshake_that_takes_a_second_is_not_given_up(tls_dir: Path) -> None:
    boundary = Boundary(methods={}, authenticator=Tokens(), clock=SystemClock())
    server = Server(listen="127.0.0.1:0", tls=Tls.from_dir(tls_dir, "identity"), boundary=boundary)
    await server.start()
    async with proxies([f"127.0.0.1:{server.port}"], delay=0.8) as (slow,):
        channel = connect(slow.address, "identity", Tls.from_dir(tls_dir, "billing"))
        try:
            # Without wait_for_ready: an attempt that was given up would fail the call.
            answer = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=5)
            assert answer.status == health_pb2.HealthCheckResponse.SERVING
            assert slow.connections == 1
        finally:
            await channel.close(None)
            await server.stop()
