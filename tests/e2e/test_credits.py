"""`hasp credits`, as the operator runs it beside a suite."""

from pathlib import Path

import psycopg
import pytest
from typer.testing import CliRunner, Result

from cli.app import app
from services.chassis.clock import SystemClock
from services.chassis.ulids import new_ulid
from tests.e2e.clinic import Clinic, wait_until


@pytest.fixture(autouse=True)
def beside_the_suite(clinic: Clinic, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HASP_STATE_DIR", str(clinic.suite.state))


def hasp(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["credits", *arguments])


def refusal(*arguments: str) -> str:
    """The one line that a command which failed says."""
    result = hasp(*arguments)
    assert (result.exit_code, result.stdout) == (1, "")
    (line,) = result.stderr.splitlines()
    return line


def test_what_the_operator_does_is_in_the_organizations_audit_log(clinic: Clinic) -> None:
    for _ in range(2):
        for arguments in (
            ("pack", clinic.org_id, "700", "--id", "order-1"),
            ("adjust", clinic.org_id, "-12.5", "--reason", "correction", "--id", "case-1"),
            ("plan", clinic.org_id, "scale"),
        ):
            assert hasp(*arguments).output == ""
    wait_until(lambda: len(clinic.audit(action="account.plan_changed")) == 1)
    (adjusted,) = clinic.audit(action="account.credits_adjusted")
    assert (adjusted["actor"]["type"], adjusted["entity_id"]) == ("operator", "case-1")
    assert (adjusted["metadata"]["credits"], adjusted["metadata"]["reason"]) == ("-12.5", "correction")
    (added,) = clinic.audit(action="account.overage_added")
    assert (added["entity_id"], added["metadata"]["credits"]) == ("order-1", 700)


def test_a_refusal_is_one_line(clinic: Clinic) -> None:
    stranger = new_ulid(SystemClock())
    assert refusal("show", stranger) == "hasp: This organization has no account."
    assert refusal("plan", clinic.org_id, "gold") == "hasp: There is no such plan in the catalogue."
    for amount in ("1e3", "--5", "1000000000000000", "1.0000000000001"):
        assert "credits" in refusal("adjust", clinic.org_id, amount, "--reason", "goodwill", "--id", "case-2")
    nothing = refusal("adjust", clinic.org_id, "0", "--reason", "goodwill", "--id", "case-2")
    assert nothing == "hasp: An adjustment gives or takes something."
    assert hasp("pack", clinic.org_id, "5", "--id", "order-2").exit_code == 0
    assert "was used before" in refusal("pack", clinic.org_id, "6", "--id", "order-2")
    assert hasp("adjust", clinic.org_id, "5", "--reason", "because", "--id", "a").exit_code == 2
    assert hasp("reconcile", stranger).exit_code == 2
    assert clinic.get("/v1/usage")["credits"]["overage_purchased"] == 5


def test_without_a_suite_it_says_so(tmp_path: Path, clinic: Clinic, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HASP_STATE_DIR", str(tmp_path))
    assert refusal("show", clinic.org_id) == "hasp: no suite is running here: start one with `hasp up`"
    monkeypatch.setenv("HASP_TLS_DIR", str(clinic.suite.places.tls))
    monkeypatch.setenv("HASP_BILLING_ADDRESS", "127.0.0.1:1")
    assert refusal("show", clinic.org_id) == "hasp: billing does not answer at 127.0.0.1:1"
    monkeypatch.setenv("HASP_BILLING_ADDRESS", clinic.suite.places.address("billing"))
    assert hasp("show", clinic.org_id).exit_code == 0


def test_reconciling_fails_with_a_line_for_each_difference(clinic: Clinic) -> None:
    with psycopg.connect(clinic.suite.admin_url, dbname="billing", autocommit=True) as tampering:
        tampering.execute("UPDATE cycles SET overage = overage + 1 WHERE org_id = %s", (clinic.org_id,))
        result = hasp("reconcile", clinic.org_id)
        assert result.exit_code == 1
        given, overage, last = result.stdout.splitlines()
        assert given.endswith("given: balance 1000000001, journal 1000000000")
        assert overage.endswith("overage: balance 1, journal 0")
        assert last == "checked 1, differences 2"
        assert hasp("reconcile").exit_code == 1
        tampering.execute("UPDATE cycles SET overage = overage - 1 WHERE org_id = %s", (clinic.org_id,))
    assert hasp("reconcile", clinic.org_id).exit_code == 0
