"""A call around a use case, as the boundary makes it."""

from collections.abc import Iterator
from contextlib import contextmanager

from services.chassis import access
from services.chassis.access import Call, Principal

IP_ADDRESS = "203.0.113.9"


@contextmanager
def calling(principal: Principal, request_id: str = "req_01KRBEH3G017NXR0T4ZV4W4NZH") -> Iterator[Call]:
    call = Call(method="/test", request_id=request_id, principal=principal, ip_address=IP_ADDRESS)
    token = access.current.set(call)
    try:
        yield call
    finally:
        access.current.reset(token)
