"""The guard for internal callers: texts in, spans or masked texts out. No model is asked and nothing is kept."""

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import aclosing, contextmanager

import structlog

from services.chassis.access import Call, Principal
from services.chassis.errors import ServiceUnavailable, ValidationFailed
from services.inference.domain import phi
from services.inference.domain.errors import PhiGuardUnavailable, RequestTooLarge, RunCancelled
from services.inference.usecases.engine import Engine
from services.inference.usecases.in_order import in_order
from services.inference.usecases.pump import Stop, Stopped

log = structlog.get_logger()

MOST_TO_SCAN = 1 << 20
MOST_TO_RESTORE = 4 << 20
"""Bytes of UTF-8 in one request."""
MOST_RESTORED = 4 << 20
"""Characters of values in one answer."""
MOST_PUT_IN = 4 << 20
"""Characters in the place of values in one answer, placeholders apart."""
_AHEAD = 4
"""Texts of one stream under way at once: it cannot fill the scanner's queue by itself."""
_STOPPING = "stopping"


class Phi:
    def __init__(self, engine: Engine, guard: phi.TextGuard) -> None:
        self._engine = engine
        self._guard = guard
        self._streams: set[Stop] = set()

    async def scan(self, call: Call, principal: Principal, texts: Sequence[str]) -> list[list[phi.Span]]:
        """Spans of each text. Raises RequestTooLarge, ValidationFailed, PhiGuardUnavailable."""
        _check_size(texts, "texts", MOST_TO_SCAN)
        org_key = await self._engine.org_key(principal)
        with _closed(call):
            return await self._guard.scan(texts, org_key=org_key, deadline=self._deadline(call))

    async def redact(
        self, call: Call, principal: Principal, texts: Sequence[str], by_type: Mapping[str, phi.Operator]
    ) -> phi.RedactedTexts:
        """Raises as `scan` does."""
        try:
            operators = phi.Operators(by_type)
        except phi.UnknownEntityType:
            raise ValidationFailed("operators: neither an entity type nor DEFAULT.", param="operators") from None
        _check_size(texts, "texts", MOST_TO_SCAN)
        org_key, salt = await self._engine.org_key(principal), await self._engine.hash_salt(principal)
        with _closed(call):
            return await self._guard.redact(
                texts, operators, org_key=org_key, salt=salt, deadline=self._deadline(call), most=MOST_PUT_IN
            )

    async def restore(self, texts: Sequence[str], placeholders: Mapping[str, str]) -> tuple[list[str], int]:
        """The texts and how many placeholders were restored. The organization's `phi_restore` is about models' answers, not about this."""
        _check_size([*texts, *placeholders, *placeholders.values()], "texts", MOST_TO_RESTORE)
        try:
            return await phi.restore_texts(texts, placeholders, most=MOST_RESTORED)
        except phi.RestoredTooLong:
            raise _too_large("texts", MOST_RESTORED) from None
        except ValueError:
            # Without the key: whoever wrote a wrong one may have written a value.
            raise ValidationFailed("Not the placeholders of one Redact.", param="placeholders") from None

    async def scan_stream(
        self, call: Call, principal: Principal, texts: AsyncIterator[str]
    ) -> AsyncIterator[list[phi.Span]]:
        """One answer a text, in order. Raises as `scan` does, after the answers before the text in question; RunCancelled when the
        credential is revoked, ServiceUnavailable when this process stops.
        """
        engine, stop = self._engine, Stop()
        with engine.watched(principal, stop):
            self._streams.add(stop)
            try:
                org_key = await engine.org_key(principal)

                async def scan(text: str) -> list[phi.Span]:
                    _check_size([text], "text", MOST_TO_SCAN)
                    with _closed(call):
                        deadline = self._deadline(call)
                        (spans,) = await self._guard.scan([text], org_key=org_key, deadline=deadline)
                    return spans

                async with aclosing(in_order(texts, scan, at_once=_AHEAD, stop=stop)) as answers:  # pyright: ignore[reportArgumentType]
                    async for spans in answers:
                        yield spans
            except Stopped as stopped:
                raise (ServiceUnavailable if stopped.why == _STOPPING else RunCancelled) from None
            finally:
                self._streams.discard(stop)

    def end_streams(self) -> None:
        """This process stops: its streams end, and their callers find another."""
        for stop in list(self._streams):
            stop(_STOPPING)

    def _deadline(self, call: Call) -> float:
        ours = self._engine.deadline()
        return ours if call.deadline is None else min(ours, call.deadline)


@contextmanager
def _closed(call: Call) -> Iterator[None]:
    """What the guard raises, as the caller's error. It says no by its own refusals: anything else is a defect, and no answer is given."""
    try:
        yield
    except phi.PhiTooComplex as refusal:
        raise ValidationFailed("Nested more deeply than can be scanned.", param=refusal.path) from None
    except phi.RedactedTooLong:
        raise _too_large("operators", MOST_PUT_IN) from None
    except phi.PhiGuardUnavailable:
        raise PhiGuardUnavailable from None
    except Exception as failure:
        log.error("the PHI guard failed", request_id=call.request_id, exc_info=failure)
        raise PhiGuardUnavailable from None


def _check_size(texts: Sequence[str], param: str, most: int) -> None:
    if sum(map(len, texts)) > most or sum(len(text.encode()) for text in texts) > most:
        raise _too_large(param, most)


def _too_large(param: str, most: int) -> RequestTooLarge:
    return RequestTooLarge("The texts are too large.", param=param, details={"limit_bytes": most})
