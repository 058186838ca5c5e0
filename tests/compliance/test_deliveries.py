import subprocess
from datetime import datetime, timedelta

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from services.chassis.clock import SystemClock
from services.compliance.domain import signatures
from services.compliance.domain.deliveries import Answer, Outcome, after, fails_too_long, rest
from services.compliance.domain.webhooks import Status
from tests.compliance.support import NOON

SECRETS = ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oDkk1EJrCvPfQ=")
BODY = '{"id":"01J","data":{"name":"Grüße"}}'.encode()
FAILED = Answer(500)


def tries(lateness: timedelta = timedelta(0)) -> list[timedelta]:
    """When each try of a delivery that never succeeds is made, from the first on, every one of them so late."""
    started, made, outcome = NOON, [], None
    while outcome is None or outcome.due_at is not None:
        made.append(started - NOON)
        outcome = after(
            FAILED,
            attempts=len(made) - 1,
            first_attempt_at=outcome.first_attempt_at if outcome else None,
            started=started,
            ended=started + timedelta(seconds=1),
        )
        started = (outcome.due_at or started) + lateness
    assert outcome == Outcome(Status.DEAD, 6, 500, NOON, None, started - lateness + timedelta(seconds=1))
    return made


def test_tries_are_made_by_the_schedule() -> None:
    assert tries() == [timedelta(seconds=seconds) for seconds in (0, 10, 60, 300, 1800, 7200)]


def test_a_late_try_keeps_its_distance_to_the_next() -> None:
    distances = [timedelta(seconds=seconds) for seconds in (10, 50, 240, 1500, 5400)]
    late = tries(timedelta(minutes=20))
    for before, this, distance in zip(late, late[1:], distances, strict=False):
        assert this - before >= distance
    assert late[-1] <= timedelta(hours=2) + 5 * timedelta(minutes=20)


def test_success_ends_it() -> None:
    ended = NOON + timedelta(seconds=2)
    outcome = after(Answer(204), attempts=3, first_attempt_at=NOON - timedelta(hours=1), started=NOON, ended=ended)
    assert outcome == Outcome(Status.DELIVERED, 4, 204, NOON - timedelta(hours=1), None, ended)
    assert outcome.delivered_at == ended


def test_an_endpoint_has_five_days() -> None:
    assert not fails_too_long(None, NOON)
    assert not fails_too_long(NOON - timedelta(days=5) + timedelta(seconds=1), NOON)
    assert fails_too_long(NOON - timedelta(days=5), NOON)


def test_who_does_not_answer_is_left_alone_for_longer_and_longer() -> None:
    rests = [rest(silent) for silent in range(10)]
    assert rests[:3] == [None, None, None]
    assert [each.total_seconds() for each in rests[3:] if each] == [10, 20, 40, 80, 160, 300, 300]
    assert rest(10_000) == timedelta(minutes=5)


def test_headers_are_those_of_the_contract() -> None:
    now = datetime.fromtimestamp(1_778_500_800.9, SystemClock().now().tzinfo)
    told = dict(signatures.headers("01JDELIVERY", BODY, SECRETS[:1], now))
    assert list(told) == [
        *("Content-Type", "User-Agent", "X-Hasp-Webhook-Id", "X-Hasp-Signature-256"),
        *("webhook-id", "webhook-timestamp", "webhook-signature"),
    ]
    assert told["Content-Type"] == "application/json"
    assert told["User-Agent"] == "Hasp-Webhook/1.0"
    assert told["X-Hasp-Webhook-Id"] == told["webhook-id"] == "01JDELIVERY"
    assert told["webhook-timestamp"] == "1778500800"


def test_receivers_verify_with_the_standard_library_and_either_secret() -> None:
    told = dict(signatures.headers("01JDELIVERY", BODY, SECRETS, SystemClock().now()))
    for secret in SECRETS:
        assert Webhook(secret).verify(BODY, told) == {"id": "01J", "data": {"name": "Grüße"}}
        with pytest.raises(WebhookVerificationError):
            Webhook(secret).verify(BODY + b" ", told)
        with pytest.raises(WebhookVerificationError):
            Webhook(secret).verify(BODY, told | {"webhook-id": "01JOTHER"})
    with pytest.raises(WebhookVerificationError):
        Webhook("whsec_b3RoZXI=").verify(BODY, told)


def test_receivers_verify_the_plain_signature_with_openssl() -> None:
    told = dict(signatures.headers("01JDELIVERY", BODY, SECRETS, SystemClock().now()))
    for header, secret in zip(("X-Hasp-Signature-256", "X-Hasp-Signature-256-Previous"), SECRETS, strict=True):
        command = ["openssl", "dgst", "-sha256", "-hmac", secret, "-r"]
        said = subprocess.run(command, input=BODY, capture_output=True, check=True).stdout.decode()
        assert told[header] == f"sha256={said.split()[0]}"
