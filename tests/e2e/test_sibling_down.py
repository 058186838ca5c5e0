"""A part of the suite stops: requests get the right 503, nothing leaves unscanned, nothing is billed, and it heals."""

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psutil
import pytest

from cli.suite import Suite
from tests.e2e.agents import equip, tool
from tests.e2e.clinic import Clinic, wait_until
from tests.e2e.envelope import check
from tests.e2e.people import Patient
from tests.e2e.upstream import Upstream

LEASE = 1.0
"""Seconds for which a service may trust what a silent sibling told it last."""


@pytest.fixture
def warm(clinic: Clinic) -> Clinic:
    """Its principal, gate and settings are in every cache, so that a test stops what it means to stop."""
    clinic.ask("Good morning")
    clinic.wait_until_settled(1)
    return clinic


@contextmanager
def stopped(suite: Suite, name: str) -> Iterator[None]:
    """It answers nothing, but its connections stand: the hardest kind of down. Children are stopped with it."""
    parent = psutil.Process(suite.process(name).pid)
    family = [*parent.children(recursive=True), parent]
    for process in family:
        process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        for process in reversed(family):
            if process.is_running():
                process.send_signal(signal.SIGCONT)


@contextmanager
def killed(suite: Suite, name: str) -> Iterator[None]:
    suite.kill(name)
    try:
        yield
    finally:
        suite.restart(name)


def check_refused(clinic: Clinic, patient: Patient, code: str) -> None:
    """Both surfaces and counting answer 503 within the time a client would wait."""
    started = time.monotonic()
    native = clinic.chat(patient.sentence)
    compatible = clinic.message(patient.sentence)
    streamed = clinic.chat(patient.sentence, stream=True)
    assert time.monotonic() - started < 25
    assert (native.status_code, native.json()["error"]["code"]) == (503, code)
    error = native.json()["error"]
    assert (error["type"], error["retryable"]) == ("unavailable", True)
    assert error["request_id"] == native.json()["meta"]["request_id"] == native.headers["x-request-id"]
    assert (compatible.status_code, compatible.json()["error"]["hasp_code"]) == (503, code)
    assert compatible.json()["error"]["type"] == "overloaded_error"
    assert (streamed.status_code, streamed.json()["error"]["code"]) == (503, code)
    assert patient.found_in(native.text + compatible.text + streamed.text) == []


def check_healed(clinic: Clinic, upstream: Upstream) -> None:
    """It works again by itself, and what was refused left no trace: not at the provider, not on the bill."""
    assert upstream.received() == []
    wait_until(lambda: clinic.chat("Good evening").status_code == 200, seconds=15)
    usage = clinic.wait_until_settled(2)
    assert usage["credits"]["used"] > 0
    assert len(upstream.received()) == 1


def phi_workers(suite: Suite) -> list[psutil.Process]:
    workers = psutil.Process(suite.process("inference").pid).children(recursive=True)
    assert workers, "the guard runs in processes of its own"
    return workers


def test_phi_workers_that_hang_let_nothing_pass(suite: Suite, warm: Clinic, upstream: Upstream, patient: Patient):
    workers = phi_workers(suite)
    for worker in workers:
        worker.send_signal(signal.SIGSTOP)
    try:
        check_refused(warm, patient, "PHI_GUARD_UNAVAILABLE")
    finally:
        for worker in workers:
            if worker.is_running():
                worker.send_signal(signal.SIGCONT)
    check_healed(warm, upstream)


def test_phi_workers_that_die_let_nothing_pass_and_are_replaced(
    suite: Suite, warm: Clinic, upstream: Upstream, patient: Patient
):
    for worker in phi_workers(suite):
        worker.kill()
    answers = [warm.chat(f"{patient.sentence} {turn}") for turn in range(3)]
    for answer in answers:
        assert answer.status_code in (200, 503), answer.text
        if answer.status_code == 503:
            assert answer.json()["error"]["code"] == "PHI_GUARD_UNAVAILABLE"
    assert patient.found_in(upstream.text) == []
    # Loading the model again takes seconds of a core; on a busy machine more.
    wait_until(lambda: warm.chat("Good evening").status_code == 200, seconds=60)
    warm.wait_until_settled(1 + len(upstream.received()))


@pytest.mark.parametrize("how", [stopped, killed])
@pytest.mark.parametrize("name", ["compliance", "identity"])
def test_what_a_silent_sibling_said_is_trusted_no_longer_than_its_lease(
    suite: Suite, warm: Clinic, upstream: Upstream, patient: Patient, name: str, how: Any
):
    with how(suite, name):
        time.sleep(LEASE + 0.5)
        check_refused(warm, patient, "SERVICE_UNAVAILABLE")
    check_healed(warm, upstream)


@pytest.mark.parametrize("how", [stopped, killed])
def test_without_billing_nothing_is_dispatched(
    suite: Suite, warm: Clinic, upstream: Upstream, patient: Patient, how: Any
):
    with how(suite, "billing"):
        check_refused(warm, patient, "SERVICE_UNAVAILABLE")
    check_healed(warm, upstream)


@pytest.mark.parametrize("name", ["compliance", "identity", "billing", "inference"])
def test_the_paths_of_a_dead_service_answer_in_the_envelope(suite: Suite, clinic: Clinic, name: str):
    path = {
        "compliance": "/v1/compliance/baa",
        "identity": "/v1/api_keys",
        "billing": "/v1/usage",
        "inference": "/v1/ai/settings",
    }[name]
    with killed(suite, name):
        answer = clinic.http.get(path)
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "SERVICE_UNAVAILABLE")
        assert answer.json()["meta"]["request_id"] == answer.headers["x-request-id"]
        assert answer.json()["success"] is False
    wait_until(lambda: clinic.http.get(path).status_code == 200)


def test_without_the_database_nothing_is_dispatched(suite: Suite, warm: Clinic, upstream: Upstream, patient: Patient):
    suite.process("postgres").stop(signal.SIGINT)
    try:
        check_refused(warm, patient, "SERVICE_UNAVAILABLE")
    finally:
        suite.restart("postgres")
    # Connections that died with the database are found dead one by one.
    for path in ("/v1/usage", "/v1/api_keys", "/v1/compliance/baa", "/v1/ai/settings"):
        wait_until(lambda path=path: [warm.http.get(path).status_code for _ in range(20)] == [200] * 20, seconds=20)
    check_healed(warm, upstream)


def test_what_an_agent_was_authorized_to_outlives_identity(suite: Suite, clinic: Clinic):
    action = tool("calendar.find_slots")
    held = equip(clinic, action, max_concurrent_invocations=1)
    running = held.authorize(**action).json()["data"]["invocation"]["id"]
    done = f"/v1/invocations/{running}/complete"
    with killed(suite, "identity"):
        check(held.authorize(**action), 503, "SERVICE_UNAVAILABLE", retryable=True)
        check(held.send("POST", done, json={"outcome": "failed"}), 503, "SERVICE_UNAVAILABLE", retryable=True)
    wait_until(lambda: held.authorize(**action).status_code == 429, seconds=15)
    assert held.send("POST", done, json={"outcome": "succeeded"}).status_code == 200
    assert held.authorize(**action).status_code == 201


def test_a_dead_provider_is_a_502_and_costs_nothing(suite: Suite, warm: Clinic, patient: Patient):
    with killed(suite, "simulator"):
        answer = warm.chat(patient.sentence)
        assert (answer.status_code, answer.json()["error"]["code"]) == (502, "INFERENCE_UPSTREAM_FAILURE")
        usage = warm.wait_until_settled(1)
    assert warm.chat("Good evening").status_code == 200
    assert warm.wait_until_settled(2)["credits"]["used"] > usage["credits"]["used"]


def test_a_graceful_stop_lets_the_running_stream_finish(suite: Suite, warm: Clinic):
    body = {"message": "[[sim:say=abcdefghij]][[sim:chunk=1]][[sim:interval_ms=100]]"}
    with warm.http.stream("POST", "/v1/ai/chat", json=body) as response:
        chunks = response.iter_raw()
        seen = next(chunks)
        suite.process("inference").send(signal.SIGTERM)
        seen += b"".join(chunks)
    wait_until(lambda: suite.process("inference").exit_code is not None)
    assert suite.process("inference").exit_code == 0
    suite.restart("inference")
    assert b"event: run.completed" in seen
    wait_until(lambda: warm.settled_requests() == 2)
