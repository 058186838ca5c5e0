"""Customers who keep asking while the house burns, and remember exactly what they were told."""

import json
import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.e2e import sse
from tests.e2e.clinic import MODEL, Clinic
from tests.e2e.people import Patient, new_patient


@dataclass
class Asked:
    """One request as its sender knows it."""

    word: str
    """Stands in its text and in no other."""
    request_id: str | None = None
    answer: str | None = None
    """The whole answer, if it was received to its last byte."""
    refused: int | None = None
    """The status of a refusal that came in our envelope."""
    broken: str | None = None
    """Why there was neither."""


@dataclass
class Customers:
    """Threads that ask on both surfaces, streaming and not, until told to stop."""

    clinic: Clinic
    threads: int = 6
    seed: int = 1
    asked: list[Asked] = field(default_factory=list)
    misbehaviour: list[str] = field(default_factory=list)
    """Answers that are neither whole, nor a refusal in the envelope, nor a broken connection."""
    _stop: threading.Event = field(default_factory=threading.Event)
    _count: int = 0
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

    @property
    def answered(self) -> list[Asked]:
        return [asked for asked in self.asked if asked.answer is not None]

    def _ask_on(self, number: int) -> None:
        dice = random.Random(self.seed * 1000 + number)
        patient = new_patient()
        while not self._stop.is_set():
            with self._lock:
                self._count += 1
                asked = Asked(word=_word(self._count))
                self.asked.append(asked)
            # A client of its own for each request: what one broken connection does must not touch the next.
            with self.clinic.http_with(self.clinic.key) as http:
                try:
                    self._ask(http, asked, patient, dice)
                except (httpx.HTTPError, AssertionError) as error:
                    asked.broken = f"{type(error).__name__}: {error}"
            if asked.answer is None:
                self._stop.wait(0.05)

    def _ask(self, http: httpx.Client, asked: Asked, patient: Patient, dice: random.Random) -> None:
        text = f"The note of {patient.name} says {asked.word}."
        streaming, native = dice.random() < 0.5, dice.random() < 0.5
        if streaming:
            text += f"[[sim:chunk=4]][[sim:interval_ms={dice.choice([0, 5, 20])}]]"
        path, body = "/v1/ai/chat", {"message": text, "stream": streaming}
        if not native:
            path = "/v1/messages"
            body = {
                "model": MODEL, "max_tokens": 300, "stream": streaming, "messages": [{"role": "user", "content": text}],
            }  # fmt: skip
        expected = f"You wrote: The note of {patient.name} says {asked.word}."
        with http.stream("POST", path, json=body) as response:
            asked.request_id = response.headers.get("x-request-id")
            if response.status_code != 200:
                self._note_refusal(asked, response, response.read())
                return
            said = _streamed(response) if streaming else _plain(json.loads(response.read()))
        if said is None:
            asked.broken = "the stream ended with its error event"
        elif said != expected:
            self.misbehaviour.append(f"{asked.request_id}: {said!r} is not {expected!r}")
        else:
            asked.answer = said

    def _note_refusal(self, asked: Asked, response: httpx.Response, body: bytes) -> None:
        asked.refused = response.status_code
        try:
            error = json.loads(body)["error"]
            code = error.get("code") or error["hasp_code"]
        except (ValueError, KeyError, TypeError):
            self.misbehaviour.append(f"{response.status_code} without our envelope: {body[:200]!r}")
            return
        if response.status_code not in (502, 503, 504):
            self.misbehaviour.append(f"{response.status_code} {code}: {body[:300]!r}")


def _plain(answer: Any) -> str:
    if "data" in answer:
        return answer["data"]["message"]["content"]
    return "".join(block["text"] for block in answer["content"])


def _streamed(response: httpx.Response) -> str | None:
    """The text of a stream that says itself that it is whole; None for one that says that it failed."""
    said = ""
    for event in sse.read(response.iter_raw()):
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
