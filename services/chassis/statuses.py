"""ServiceError as a gRPC status with google.rpc details, from which the edge makes its envelopes."""

from __future__ import annotations

from typing import Any

import grpc.aio
import orjson
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2

from services.chassis.errors import ServiceError

DOMAIN = "hasp"
_DETAILS_KEY = "grpc-status-details-bin"


def status_of(error: ServiceError, validation_status: int = 422) -> status_pb2.Status:
    """`validation_status` is the HTTP status of VALIDATION_FAILED on this method: 400 on inference paths, 422 elsewhere."""
    answer = error.answer
    http_status, type_ = answer.http_status, answer.type
    if error.reason == "VALIDATION_FAILED" and validation_status == 400:
        http_status, type_ = 400, "invalid_request"
    metadata = {"http_status": str(http_status), "type": type_, "retryable": "true" if answer.retryable else "false"}
    details = dict(error.details)
    if error.retry_after is not None:
        details.setdefault("retry_after_seconds", error.retry_after)
        metadata["retry_after"] = str(error.retry_after)
    if error.param is not None:
        metadata["param"] = error.param
    if details:
        metadata["details"] = orjson.dumps(details).decode()
    packed = [_pack(error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=metadata))]
    if error.param is not None:
        violation = error_details_pb2.BadRequest.FieldViolation(field=error.param, description=error.message)
        packed.append(_pack(error_details_pb2.BadRequest(field_violations=[violation])))
    return status_pb2.Status(code=answer.code.value[0], message=error.message, details=packed)


def _pack(message: error_details_pb2.ErrorInfo | error_details_pb2.BadRequest) -> any_pb2.Any:
    packed = any_pb2.Any()
    packed.Pack(message)
    return packed


async def abort_with(
    context: grpc.aio.ServicerContext, error: ServiceError | bytes, validation_status: int
) -> Exception:
    """End the call with the error, or with an already serialized status. Never returns; typed so that callers can `raise await`."""
    status = status_pb2.Status.FromString(error) if isinstance(error, bytes) else status_of(error, validation_status)
    code = next(code for code in grpc.StatusCode if code.value[0] == status.code)
    await context.abort(code, status.message, ((_DETAILS_KEY, status.SerializeToString()),))
    raise AssertionError("abort returned")


def reason_of(failure: grpc.aio.AioRpcError) -> str | None:
    """The reason a sibling refused with, None where it gave none of ours."""
    info = error_info_of(failure)
    return info.reason if info is not None else None


def error_info_of(failure: grpc.aio.AioRpcError) -> error_details_pb2.ErrorInfo | None:
    trailers: Any = failure.trailing_metadata() or ()
    for key, value in trailers:
        if key == _DETAILS_KEY:
            status = status_pb2.Status.FromString(value if isinstance(value, bytes) else value.encode("latin-1"))
            for detail in status.details:
                info = error_details_pb2.ErrorInfo()
                if detail.Unpack(info) and info.domain == DOMAIN:
                    return info
    return None
