"""The three books of one organization, read from the databases themselves: records, settlements, audit entries."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any, LiteralString

import psycopg
from hasp.billing.v1 import account_admin_service_pb2 as pb
from psycopg.rows import dict_row

from cli.channels import workload_channel
from cli.suite import Suite

_RECORDS = "SELECT * FROM records WHERE org_id = %s"
_SETTLEMENTS = "SELECT * FROM settlements WHERE org_id = %s"
_RESERVATIONS = "SELECT request_id FROM reservations WHERE org_id = %s"
_BOUNDS = "SELECT entry_id, reserved FROM entries WHERE org_id = %s AND kind = 'reserve'"
_CYCLES = "SELECT * FROM cycles WHERE org_id = %s ORDER BY cycle_start"
_ENTRIES = "SELECT * FROM audit_entries WHERE org_id = %s AND entity_type = 'inference_record'"
_WAITING: tuple[tuple[str, LiteralString], ...] = (
    ("identity", "SELECT count(*) FROM outbox"),
    ("inference", "SELECT count(*) FROM outbox"),
    ("billing", "SELECT count(*) FROM outbox"),
    ("compliance", "SELECT count(*) FROM audit_intake"),
)
_TOKENS = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens")


@dataclass(frozen=True)
class Books:
    """`record`, `settlement`: rows by bare request id; `entries`: how many of them each request has.

    bound: credits that were held for each request, once. cycles: rows, the oldest first.
    """

    record: dict[str, Any]
    settlement: dict[str, Any]
    reserved: set[str]
    bound: dict[str, Decimal]
    cycles: list[Any]
    entries: Counter[str]

    @classmethod
    def read(cls, suite: Suite, org_id: str) -> "Books":
        def rows(service: str, query: LiteralString) -> list[Any]:
            with psycopg.connect(suite.admin_url, dbname=service) as connection:
                return connection.cursor(row_factory=dict_row).execute(query, (org_id,)).fetchall()

        return cls(
            record={row["request_id"]: row for row in rows("inference", _RECORDS)},
            settlement={row["request_id"]: row for row in rows("billing", _SETTLEMENTS)},
            reserved={row["request_id"] for row in rows("billing", _RESERVATIONS)},
            bound={row["entry_id"]: row["reserved"] for row in rows("billing", _BOUNDS)},
            cycles=rows("billing", _CYCLES),
            entries=Counter(row["entity_id"] for row in rows("compliance", _ENTRIES)),
        )

    @property
    def credits(self) -> Decimal:
        return sum((row["credits"] for row in self.settlement.values()), Decimal(0))

    def tagged(self, basis: str) -> dict[str, Any]:
        """The settlements that say so of themselves."""
        return {each: row for each, row in self.settlement.items() if row["basis"] == basis}

    def disagreements(self) -> list[str]:
        """A sentence for each place where two books differ. Every model must be of ratio 1."""
        found = [f"{each}: still {row['status']}" for each, row in self.record.items() if row["status"] == "dispatched"]
        for request_id, row in self.record.items():
            if self.entries[request_id] != 1:
                found.append(f"{request_id}: {self.entries[request_id]} audit entries for a record {row['status']}")
            settled = self.settlement.get(request_id)
            if settled is None:
                # The provider refused it or was never reached, its caller having gone before: it owes nothing.
                if row["status"] == "completed" or (row["error_code"] is None and row["upstream_ms"] is not None):
                    found.append(f"{request_id}: {row['status']} and never settled")
                continue
            tokens = {name: row[name] for name in _TOKENS}
            if tokens != {name: settled[name] for name in _TOKENS} or row["basis"] != settled["basis"]:
                found.append(f"{request_id}: the record says {tokens}, the settlement {settled}")
            if settled["credits"] != price(row):
                found.append(f"{request_id}: {settled['credits']} credits where {price(row)} are due")
            if settled["credits"] > self.bound.get(request_id, 0):
                found.append(f"{request_id}: {settled['credits']} credits where {self.bound.get(request_id)} were held")
        found += [f"{each}: settled without a record" for each in self.settlement.keys() - self.record.keys()]
        found += [f"{each}: audited without a record" for each in self.entries.keys() - self.record.keys()]
        found += [f"{each}: recorded, ended and still reserved" for each in self.reserved & self.record.keys()]
        return [*found, *self._out_of_time()]

    def _out_of_time(self) -> Iterator[str]:
        """Cycles that leave a gap or overlap, and settlements that are not in the one in which their request ended."""
        for before, after in pairwise(self.cycles):
            if before["cycle_end"] != after["cycle_start"]:
                yield f"a cycle ends {before['cycle_end']} and the next begins {after['cycle_start']}"
        ends = {cycle["cycle_start"]: cycle["cycle_end"] for cycle in self.cycles}
        for request_id in self.settlement.keys() & self.record.keys():
            settled, ended = self.settlement[request_id], self.record[request_id]["completed_at"]
            # Whole milliseconds are told.
            if not timedelta(0) <= ended - settled["occurred_at"] < timedelta(milliseconds=1):
                yield f"{request_id}: ended {ended}, settled for {settled['occurred_at']}"
            if not settled["cycle_start"] <= settled["occurred_at"] < ends[settled["cycle_start"]]:
                yield f"{request_id}: of {settled['occurred_at']}, settled in the cycle of {settled['cycle_start']}"


def price(row: Any) -> Decimal:
    """Of tokens of a model with ratio 1: cache reads weigh 0.1, cache writes 1.25."""
    return (
        Decimal(row["input_tokens"] + row["output_tokens"])
        + Decimal("0.1") * row["cache_read_tokens"]
        + Decimal("1.25") * row["cache_write_tokens"]
    )


def owed(suite: Suite) -> int:
    """What waits: for a sibling in an outbox, or for its place in the audit tree."""
    total = 0
    for service, query in _WAITING:
        with psycopg.connect(suite.admin_url, dbname=service) as connection:
            row = connection.execute(query).fetchone()
            total += row[0] if row else 0
    return total


def running(suite: Suite) -> int:
    """Requests that have left and not ended, as far as the records know."""
    with psycopg.connect(suite.admin_url, dbname="inference") as connection:
        row = connection.execute("SELECT count(*) FROM records WHERE status = 'dispatched'").fetchone()
    return row[0] if row else 0


def differences(suite: Suite) -> list[str]:
    """What billing's reconciler finds, over all organizations."""
    with workload_channel(suite.places.address("billing"), suite.places.tls) as channel:
        reconcile = channel.unary_unary(
            "/hasp.billing.v1.AccountAdminService/Reconcile",
            request_serializer=pb.ReconcileRequest.SerializeToString,
            response_deserializer=pb.ReconcileResponse.FromString,
        )
        return list(reconcile(pb.ReconcileRequest(), timeout=60).differences)


def let_ten_minutes_pass(suite: Suite) -> None:
    """For reservations: what nobody renewed or settled in that time is released."""
    with psycopg.connect(suite.admin_url, dbname="billing") as connection:
        connection.execute("UPDATE reservations SET expires_at = now()")
