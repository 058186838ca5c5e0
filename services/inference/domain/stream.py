"""The provider's event stream on its way to the caller: values back in place of placeholders, the last event held for the commit."""

from typing import Any

from services.inference.domain import sse
from services.inference.domain.answer import Answer, GarbledAnswer
from services.inference.domain.phi import PlaceholderMap, StreamRestorer


class ProviderError(Exception):
    """The provider ended the stream with an error of its own. `message` may hold placeholders, never values."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(kind)
        self.kind = kind
        self.message = message


class AnswerStream:
    """`placeholders` is None where nothing is to be restored."""

    def __init__(self, answer: Answer, placeholders: PlaceholderMap | None, *, message_id: str, model: str) -> None:
        self._answer = answer
        self._restorer = StreamRestorer(placeholders) if placeholders else None
        self._frames = sse.FrameReader()
        self._message_id = message_id
        self._model = model
        self._failure: GarbledAnswer | ProviderError | None = None

    @property
    def restored_count(self) -> int:
        return self._restorer.restored_count if self._restorer else 0

    def push(self, piece: bytes) -> list[tuple[dict[str, Any] | None, bytes | None]]:
        """What may be sent of what `piece` completes: events, each with its bytes where nobody changed it; comments as bytes alone.

        Nothing after `message_stop`. Never raises: what broke the stream is kept, to be raised by `check` once this was sent.
        """
        out: list[tuple[dict[str, Any] | None, bytes | None]] = []
        for frame in self._frames.push(piece):
            try:
                self._take(frame, out)
            except (GarbledAnswer, ProviderError) as failure:
                self._failure = failure
                break
            if self._answer.complete:
                break
        return out

    def check(self) -> None:
        """Raises GarbledAnswer or ProviderError when the last piece broke the stream."""
        if self._failure is not None:
            raise self._failure

    def flush(self) -> list[dict[str, Any]]:
        """What was still held back when the stream died."""
        if self._restorer is None:
            return []
        events = self._restorer.finish_events()
        for event in events:
            self._answer.sent(event)
        return events

    def _take(self, frame: bytes, out: list[tuple[dict[str, Any] | None, bytes | None]]) -> None:
        try:
            event = sse.data_of(frame)
        except ValueError:
            raise GarbledAnswer("an event that is no JSON") from None
        if event is None:
            out.append((None, frame))
            return
        if event.get("type") == "error":
            raise _provider_error(event)
        self._answer.heard(event)
        try:
            self._pass(event, frame, out)
        except (KeyError, TypeError, AttributeError):
            raise GarbledAnswer(f"a malformed {event.get('type')} event") from None

    def _pass(self, event: dict[str, Any], frame: bytes, out: list[tuple[dict[str, Any] | None, bytes | None]]) -> None:
        if event["type"] == "message_start":
            event["message"]["id"] = self._message_id
            event["message"]["model"] = self._model
            out.append((event, None))
            return
        if self._restorer is None:
            self._answer.sent(event)
            out.append((event, frame))
            return
        for sent in self._restorer.push_event(event):
            self._answer.sent(sent)
            out.append((sent, frame if sent is event else None))


def _provider_error(event: dict[str, Any]) -> ProviderError:
    error = event.get("error")
    if not isinstance(error, dict):
        return ProviderError("api_error", "The model provider failed.")
    return ProviderError(str(error.get("type", "api_error"))[:100], str(error.get("message", ""))[:2_000])
