"""Accounts whose month ends when a test wants it to, on the clock of the machine."""

from datetime import datetime

import psycopg
from hasp.billing.v1.account_admin_service_pb2 import OpenAccountRequest

from cli.suite import Suite
from services.billing.domain.cycles import beginning
from services.chassis.clock import unix_ms
from tests.e2e.clinic import Clinic


def clinic_whose_month_ends(suite: Suite, end: datetime) -> Clinic:
    """Billing hears of the organization late, from an outbox that has waited since a month, or two, before `end`.

    Kills billing and starts it again: nobody else may be using it.
    """
    months = next(n for n in (1, 2) if beginning(beginning(end, -n), n) == end)
    suite.kill("billing")
    clinic = Clinic.create(suite)
    opening = OpenAccountRequest(org_id=clinic.org_id, plan="enterprise", opened_at_ms=unix_ms(beginning(end, -months)))
    with psycopg.connect(suite.admin_url, dbname="identity") as connection:
        changed = connection.execute(
            "UPDATE outbox SET payload = %s WHERE id = %s AND topic = 'billing.account'",
            (opening.SerializeToString(), clinic.org_id),
        )
        assert changed.rowcount == 1
    suite.restart("billing")
    clinic.wait_for_account()
    clinic.sign_baa()
    return clinic
