"""Customers who keep asking while the house burns, of a provider that fails, and remember exactly what they were told.

Some of them leave before they were answered.
"""

import itertools
import json
import random
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.e2e import sse
from tests.e2e.clinic import MODEL, Clinic
from tests.e2e.people import Patient, new_patient


@dataclass(frozen=True)
class Mood:
    """What one request meets: what the provider is told to do with it, and how long its sender stays."""

    name: str
    directions: str = ""
    streaming: bool | None = None
    """None: as the dice say."""
    patience: float = 30.0
    """Seconds without a byte."""
    events: int | None = None
    """After so many the sender leaves."""


_numbers = itertools.count(1)
_EXHAUSTED = frozenset({"AI_CREDITS_EXHAUSTED", "BUDGET_EXCEEDED"})
_OURS = _EXHAUSTED | {"SERVICE_UNAVAILABLE"}
CALM = Mood("calm")
TROUBLES = (
    Mood("429", "[[sim:status=429]]"),
    Mood("429 with a time", "[[sim:status=429]][[sim:retry_after=2]]"),
    Mood("529", "[[sim:status=529]]"),
    Mood("500", "[[sim:status=500]]"),
    Mood("503", "[[sim:status=503]]"),
    Mood("cut", "[[sim:cut]]"),
    Mood("cut in the middle", "[[sim:cut_after=5]]"),
    Mood("garbage", "[[sim:garbage]]"),
    Mood("garbage in the middle", "[[sim:garbage_after=5]]", streaming=True),
    Mood("an error in the middle", "[[sim:midstream_error=5]]", streaming=True),
    Mood("silence in the middle", "[[sim:hang_after=5]]", streaming=True, patience=0.5),
    Mood("left before the first byte", "[[sim:delay_ms=2000]]", patience=0.3),
    Mood("left in the middle", "[[sim:interval_ms=50]]", streaming=True, events=6),
    Mood("left after seconds", "[[sim:interval_ms=200]]", streaming=True, events=14),
    Mood("a long stream", "[[sim:interval_ms=120]]", streaming=True),
)


@dataclass
class Asked:
    """One request as its sender knows it."""

    word: str
    """Stands in its text and in no other."""
    mood: Mood = CALM
    request_id: str | None = None
    answer: str | None = None
    """The whole answer, if it was received to its last byte."""
    refused: int | None = None
    """The status of a refusal that came in our envelope."""
    code: str | None = None
    """Of that refusal."""
    broken: str | None = None
    """Why there was neither."""

    @property
    def turned_away(self) -> bool:
        """By the house itself, or what was left of it."""
        return self.code in _OURS or (self.broken or "").startswith("ConnectError")


@dataclass
class Customers:
    """Threads that ask on both surfaces, streaming and not, until told to stop.

    `troubled`: which part of the requests meets one of TROUBLES; `directions`: what all of them tell the provider.
    `capped`: the organization may run out of credits.
    """

    clinic: Clinic
    threads: int = 6
    seed: int = 1
    troubled: float = 0.4
    directions: str = ""
    capped: bool = False
    asked: list[Asked] = field(default_factory=list)
    misbehaviour: list[str] = field(default_factory=list)
    """Answers that are neither whole, nor a refusal in the envelope, nor a broken connection."""
    _stop: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def asking(self) -> Iterator[None]:
        threads = [threading.Thread(target=self._ask_on, args=(number,)) for number in range(self.threads)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._stop.set()
            for thread in threads:
                thread.join(60)
            assert not any(thread.is_alive() for thread in threads), "a request hangs"

    @property
    def answered(self) -> list[Asked]:
        return [asked for asked in self.asked if asked.answer is not None]

    @property
    def served(self) -> int:
        """How many were let in."""
        ended = (each for each in self.asked if each.answer or each.broken or each.code)
        return sum(not each.turned_away for each in ended)

    @property
    def outcomes(self) -> Counter[str]:
        def of(each: Asked) -> str:
            return "answered" if each.answer else each.code or ("turned away" if each.turned_away else "broken off")

        return Counter(of(each) for each in self.asked)

    def _ask_on(self, number: int) -> None:
        dice = random.Random(self.seed * 1000 + number)
        patient = new_patient()
        with self._client() as http:
            while not self._stop.is_set():
                mood = dice.choice(TROUBLES) if dice.random() < self.troubled else CALM
                with self._lock:
                    asked = Asked(word=_word(next(_numbers)), mood=mood)
                    self.asked.append(asked)
                try:
                    self._ask(http, asked, patient, dice)
                except (httpx.HTTPError, AssertionError) as error:
                    asked.broken = f"{type(error).__name__}: {error}"
                if asked.turned_away:
                    self._stop.wait(dice.uniform(0.1, 1))

    def _client(self) -> httpx.Client:
        # A connection of its own for each request: what one broken connection does must not touch the next.
        return httpx.Client(
            base_url=self.clinic.suite.base_url,
            headers={"authorization": f"Bearer {self.clinic.key}"},
            limits=httpx.Limits(max_keepalive_connections=0),
            trust_env=False,
        )

    def _ask(self, http: httpx.Client, asked: Asked, patient: Patient, dice: random.Random) -> None:
        mood, native = asked.mood, dice.random() < 0.5
        streaming = dice.random() < 0.5 if mood.streaming is None else mood.streaming
        text = f"The note of {patient.name} says {asked.word}.{mood.directions}{self.directions}"
        if streaming:
            text += "[[sim:chunk=4]]"
        if streaming and mood is CALM:
            text += f"[[sim:interval_ms={dice.choice([0, 5, 20])}]]"
        path, body = "/v1/ai/chat", {"message": text, "stream": streaming, "max_tokens": 300}
        if not native:
            path = "/v1/messages"
            body = {
                "model": MODEL, "max_tokens": 300, "stream": streaming, "messages": [{"role": "user", "content": text}],
            }  # fmt: skip
        expected = f"You wrote: The note of {patient.name} says {asked.word}."
        with http.stream("POST", path, json=body, timeout=httpx.Timeout(30, read=mood.patience)) as response:
            asked.request_id = response.headers.get("x-request-id")
            if response.status_code != 200:
                self._note_refusal(asked, response, response.read())
                return
            said = _streamed(response, mood.events) if streaming else _plain(json.loads(response.read()))
        if said is None:
            asked.broken = "the stream ended with its error event, or its reader left"
        elif said != expected:
            self.misbehaviour.append(f"{asked.request_id}: {said!r} is not {expected!r}")
        else:
            asked.answer = said

    def _note_refusal(self, asked: Asked, response: httpx.Response, body: bytes) -> None:
        asked.refused = response.status_code
        try:
            error = json.loads(body)["error"]
            asked.code = error.get("code") or error["hasp_code"]
        except (ValueError, KeyError, TypeError):
            self.misbehaviour.append(f"{response.status_code} without our envelope: {body[:200]!r}")
            return
        exhausted = self.capped and asked.code in _EXHAUSTED
        if response.status_code not in (502, 503, 504) and not exhausted:
            self.misbehaviour.append(f"{response.status_code} {asked.code}: {body[:300]!r}")


def _plain(answer: Any) -> str:
    if "data" in answer:
        return answer["data"]["message"]["content"]
    return "".join(block["text"] for block in answer["content"])


def _streamed(response: httpx.Response, leaves_after: int | None) -> str | None:
    """The text of a stream that says itself that it is whole; None for one that says that it failed, or whose reader leaves."""
    said = ""
    for number, event in enumerate(sse.read(response.iter_raw()), 1):
        if number == leaves_after:
            return None
        if event.name == "message.delta":
            said += event.data["data"]["delta"]["text"]
        elif event.name == "content_block_delta":
            said += event.data["delta"]["text"]
        elif event.name in ("run.completed", "message_stop"):
            return said
        elif event.name in ("run.failed", "run.cancelled", "error"):
            return None
    raise AssertionError("the stream ended without its last event")


def _word(number: int) -> str:
    """Lower-case letters that mean nothing to anybody, different for each number."""
    letters = ""
    for _ in range(6):
        number, digit = divmod(number, 20)
        letters += "bcdfghjklmnpqrstvwxz"[digit]
    return f"q{letters}q"
