"""Nothing deletes or changes an audit entry, nor what proves it: no grant, no statement, and a trigger against whoever has both."""

import re
from pathlib import Path

import psycopg
import pytest

from cli.settings import ROOT
from tests.postgres import DatabaseUrls

KEPT = ("audit_entries", "audit_entries_1", "audit_nodes", "audit_checkpoints")
# What is not evidence: the intake, which is emptied into the entries, and how far they have come.
WORKED_ON = {
    "audit_intake": {"SELECT", "INSERT", "DELETE"},
    "audit_trees": {"SELECT", "INSERT", "UPDATE"},
    "audit_times": {"SELECT", "INSERT", "UPDATE"},
    "audit_sequencer": {"SELECT", "UPDATE"},
}
SERVICES = ROOT / "services"


def test_these_are_all_the_tables_of_the_audit(urls: DatabaseUrls) -> None:
    with psycopg.connect(urls.app_url) as app:
        tables = app.execute(
            "SELECT relname FROM pg_class WHERE relname ~ '^audit_' AND relkind IN ('r', 'p')"
        ).fetchall()
    assert {name for (name,) in tables} == {*KEPT, *WORKED_ON}


@pytest.mark.parametrize("table", [*KEPT, *WORKED_ON])
def test_the_program_may_do_to_it_what_its_work_is_and_no_more(urls: DatabaseUrls, table: str) -> None:
    privileges = ("SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER")
    with psycopg.connect(urls.app_url) as app:
        held = {
            privilege
            for privilege in privileges
            if app.execute("SELECT has_table_privilege(%s, %s)", (table, privilege)).fetchone() == (True,)
        }
        by_column = app.execute("SELECT has_any_column_privilege(%s, 'UPDATE')", (table,)).fetchone()
    # A partition is reached through its table alone.
    kept = set() if table == "audit_entries_1" else {"SELECT", "INSERT"}
    assert held == WORKED_ON.get(table, kept)
    assert by_column == ("UPDATE" in held,)


@pytest.mark.parametrize("table", KEPT)
def test_triggers_stand_against_those_who_have_every_grant(urls: DatabaseUrls, table: str) -> None:
    with psycopg.connect(urls.app_url) as app:
        rows = app.execute(
            "SELECT tgtype::integer FROM pg_trigger JOIN pg_proc ON pg_proc.oid = tgfoid"
            " WHERE tgrelid = %s::regclass AND proname = 'refuse_change' AND tgenabled IN ('O', 'A')",
            (table,),
        ).fetchall()
    # pg_trigger.h: 2 before, 8 delete, 16 update, 32 truncate.
    refused = 0
    for (kind,) in rows:
        assert kind & 2
        refused |= kind
    assert refused & 8
    assert refused & 16
    assert refused & 32


def test_no_function_acts_with_the_owners_rights(urls: DatabaseUrls) -> None:
    with psycopg.connect(urls.app_url) as app:
        rows = app.execute(
            "SELECT proname FROM pg_proc WHERE prosecdef AND pronamespace NOT IN ('pg_catalog'::regnamespace, 'information_schema'::regnamespace)"
        ).fetchall()
    assert rows == []


def test_one_statement_in_all_services_takes_from_a_table_of_the_audit() -> None:
    taking = re.compile(
        r"(?i)\b(DELETE\s+FROM|TRUNCATE(?:\s+TABLE)?|DROP\s+TABLE|delete\()\s*(?:ONLY\s+)?\"?(audit_\w+)"
    )
    found = [
        (path.relative_to(SERVICES), match[2])
        for path in SERVICES.rglob("*.py")
        for match in taking.finditer(path.read_text())
    ]
    # The sequencer's, in the statement that gives what it takes its place.
    assert found == [(Path("compliance/store/sequencing.py"), "audit_intake")]
