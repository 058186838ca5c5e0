"""Thresholds with two processes of billing, each of which announces."""

import time

import pytest

from tests.e2e.clinic import Clinic, wait_until


@pytest.mark.long
def test_two_replicas_announce_a_threshold_once(clinic: Clinic):
    clinic.put("/v1/usage/budget", spend_cap=1_000, alert_thresholds=[10, 20, 30])
    for requests in (1, 2, 3):
        answer = clinic.chat("[[sim:say=Yes]][[sim:output_tokens=200]]", max_tokens=200)
        assert answer.status_code == 200, answer.text
        clinic.wait_until_settled(requests)
    action = "budget.threshold_reached"
    wait_until(lambda: len(clinic.audit(action=action)) >= 3)
    time.sleep(1.2)  # two rounds of each announcer
    assert sorted(entry["metadata"]["threshold"] for entry in clinic.audit(action=action)) == [10, 20, 30]
