"""PhiService: the guard for internal callers, over gRPC alone. `channel` is `connect(address, "inference", tls)` of services.chassis.channels,
`key` an API key with the scope `ai:chat`; what is found counts for its organization and stays in no record.

    phi = PhiServiceStub(channel)
    mine = {"metadata": [("authorization", f"Bearer {key}")], "timeout": 10}

    masked = await phi.Redact(RedactRequest(texts=["Seen: Maria Lopez, MRN 4827193.", '{"mrn": 4827193}']), **mine)
    assert list(masked.texts) == ["Seen: [PERSON_1], MRN [MRN_1].", '{"mrn": "[MRN_1]"}']

    answer = RestoreRequest(texts=["[PERSON_1] is well."], placeholders=masked.placeholders)  # the map is PHI: keep it sealed
    assert (await phi.Restore(answer, **mine)).texts[0] == "Maria Lopez is well."

    ways = {"US_SSN": Operator(mask=Operator.Mask(chars_to_mask=7)), "DEFAULT": Operator(hash=Operator.Hash())}
    hashed = await phi.Redact(RedactRequest(texts=["SSN 536-22-8812, MRN 4827193."], operators=ways), **mine)
    assert hashed.texts[0].startswith("SSN *******8812, MRN ") and not hashed.restorable

    stream = phi.ScanStream(**mine)
    await stream.write(ScanStreamRequest(text="Call (415) 555-0123."))
    (span,) = (await stream.read()).spans
    assert (span.entity_type, span.category, span.start, span.end) == ("PHONE_NUMBER", "D", 5, 19)
    stream.cancel()

Whatever keeps the guard from scanning is UNAVAILABLE with the reason PHI_GUARD_UNAVAILABLE: try again, and send nothing on meanwhile.
"""

from collections.abc import AsyncIterator
from contextlib import aclosing

import grpc.aio
from hasp.inference.v1.phi_service_pb2 import (
    RedactRequest,
    RedactResponse,
    RestoreRequest,
    RestoreResponse,
    ScanRequest,
    ScanResponse,
    ScanStreamRequest,
    ScanStreamResponse,
)
from hasp.inference.v1.phi_service_pb2_grpc import PhiServiceServicer

from services.chassis.access import call, caller
from services.inference import wire
from services.inference.usecases.phi import Phi


class PhiServicer(PhiServiceServicer):
    def __init__(self, phi: Phi) -> None:
        self._phi = phi

    async def Scan(self, request: ScanRequest, context: grpc.aio.ServicerContext) -> ScanResponse:
        found = await self._phi.scan(call(), caller(), request.texts)
        return ScanResponse(results=[wire.spans(spans) for spans in found])

    async def Redact(self, request: RedactRequest, context: grpc.aio.ServicerContext) -> RedactResponse:
        operators = {name: wire.operator(asked) for name, asked in request.operators.items()}
        return wire.redacted(await self._phi.redact(call(), caller(), request.texts, operators))

    async def Restore(self, request: RestoreRequest, context: grpc.aio.ServicerContext) -> RestoreResponse:
        texts, restored_count = await self._phi.restore(request.texts, request.placeholders)
        return RestoreResponse(texts=texts, restored_count=restored_count)

    async def ScanStream(
        self, request_iterator: AsyncIterator[ScanStreamRequest], context: grpc.aio.ServicerContext
    ) -> AsyncIterator[ScanStreamResponse]:
        texts = (request.text async for request in request_iterator)
        async with aclosing(self._phi.scan_stream(call(), caller(), texts)) as answers:  # pyright: ignore[reportArgumentType]
            async for spans in answers:
                yield ScanStreamResponse(spans=wire.spans(spans).spans)

    def end_streams(self) -> None:
        """See `services.chassis.server.Endless`."""
        self._phi.end_streams()
