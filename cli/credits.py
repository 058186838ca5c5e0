"""`hasp credits`: what the operator sees and does of an organization's credits."""

from collections.abc import Callable
from typing import Annotated, Literal, TypeVar

import typer

from cli.accounts import Accounts
from cli.clients import CallError
from cli.settings import Settings

_Result = TypeVar("_Result")
Reason = Literal["correction", "goodwill", "migration"]
_DIFFERENT, _FAILED = 1, 2

credits_ = typer.Typer(no_args_is_help=True, help="Credits: plans, packs, adjustments and the books.")


@credits_.command()
def show(org_id: str) -> None:
    """Print an account: its plan and what the current cycle holds, exact."""
    account = _with_billing(lambda accounts: accounts.get(org_id))
    plan = account.plan if account.plan == account.next_plan else f"{account.plan}, then {account.next_plan}"
    lines = {
        "plan": plan,
        "cycle": f"{account.cycle_start} to {account.cycle_end}",
        "allotment": account.allotment,
        "adjustments": account.adjustments,
        "packs": account.overage,
        "used": account.used,
        "reserved": account.reserved,
        "spend cap": account.spend_cap or "none",
        "limit": account.limit,
    }
    for name, value in lines.items():
        typer.echo(f"{name:<12} {value}")


@credits_.command()
def plan(org_id: str, plan: str) -> None:
    """Move an account to another plan of the catalogue, from its next cycle on."""
    _with_billing(lambda accounts: accounts.change_plan(org_id, plan))


@credits_.command()
def pack(
    org_id: str,
    credits_: Annotated[int, typer.Argument(metavar="CREDITS", min=1, max=10**15 - 1)],
    pack_id: Annotated[str, typer.Option("--id", help="Adding it again under the same id changes nothing.")],
) -> None:
    """Add a pack of whole credits to the current cycle, with which it ends."""
    _with_billing(lambda accounts: accounts.add_pack(org_id, credits_, pack_id))


# A negative amount begins as an option does.
@credits_.command(context_settings={"ignore_unknown_options": True})
def adjust(
    org_id: str,
    amount: Annotated[str, typer.Argument(help="Exact, as 500 or -12.5; negative takes.")],
    reason: Annotated[Reason, typer.Option()],
    adjustment_id: Annotated[
        str, typer.Option("--id", help="Making it again under the same id changes nothing. It is in the audit log.")
    ],
) -> None:
    """Give credits to the current cycle, or take some back."""
    _with_billing(lambda accounts: accounts.adjust(org_id, amount, reason=reason, adjustment_id=adjustment_id))


@credits_.command()
def reconcile(org_id: Annotated[str | None, typer.Argument(help="All organizations without it.")] = None) -> None:
    """Check every balance against the journal and every settlement against its catalogue: 1 where something differs."""
    report = _with_billing(lambda accounts: accounts.reconcile(org_id), failed=_FAILED)
    if org_id is not None and report.checked == 0:
        typer.echo("hasp: This organization has no account.", err=True)
        raise typer.Exit(_FAILED)
    for line in report.differences:
        typer.echo(line)
    typer.echo(f"checked {report.checked}, differences {len(report.differences)}")
    if report.differences:
        raise typer.Exit(_DIFFERENT)


def _with_billing(ask: Callable[[Accounts], _Result], *, failed: int = 1) -> _Result:
    """Ask the billing service: the one named in the environment, or that of the suite running on the state folder."""
    try:
        with Accounts.of(Settings()) as accounts:
            return ask(accounts)
    except CallError as error:
        typer.echo(f"hasp: {error}", err=True)
        raise typer.Exit(failed) from error
