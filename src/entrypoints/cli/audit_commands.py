"""Commands that verify the audit log and erase personal data from it."""

import sys
from pathlib import Path

import click

from workbell.adapters.checkpoint_log import format_checkpoint, parse_checkpoints
from workbell.domain.errors import NotFound
from workbell.domain.identity.actor import SYSTEM
from workbell.entrypoints.cli.context import CliContext
from workbell.entrypoints.terminal import json_option, show_one
from workbell.services.audit.verification import AuditReport, export

EXIT_BROKEN = 1

file_type = click.Path(dir_okay=False, path_type=Path)


@click.group()
def audit() -> None:
    """Verify the audit log, export checkpoints, erase personal data."""


@audit.command("verify")
@click.option(
    "--checkpoints",
    "file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="File of exported checkpoints to compare with as well.",
)
@json_option
@click.pass_obj
def verify(context: CliContext, file: Path | None, as_json: bool) -> None:
    """
    Verify the log against its hash chain and all checkpoints.

    Exits with 0 if it is intact, 1 if it is broken, 2 if it cannot be verified.
    """
    exported = () if file is None else parse_checkpoints(file.read_bytes())
    with context.application() as application:
        hidden = as_json or not sys.stderr.isatty()
        with click.progressbar(length=1, label="Verifying", hidden=hidden, file=sys.stderr) as bar:

            def advance(done: int, total: int) -> None:
                bar.length = max(total, 1)
                bar.update(done - bar.pos)

            report = application.audit.verifier.verify(
                SYSTEM, exported=exported, on_progress=advance
            )
    _show(report, as_json=as_json)
    sys.exit(0 if report.is_intact else EXIT_BROKEN)


def _show(report: AuditReport, *, as_json: bool) -> None:
    fault = report.fault
    show_one(
        {
            "intact": report.is_intact,
            "verified": report.verified,
            "unsealed": report.unsealed,
            "erased": report.erased,
            "checkpoints": report.checkpoints,
            "unverifiable_checkpoints": report.unverifiable_checkpoints,
            "first_bad_number": None if fault is None else fault.seal_seq,
            "first_bad_id": None if fault is None else fault.audit_id,
            "reason": None if fault is None else fault.reason,
        },
        as_json=as_json,
    )


@audit.command("checkpoints")
@click.option("--output", type=file_type, help="File to write; default: stdout.")
@click.pass_obj
def checkpoints(context: CliContext, output: Path | None) -> None:
    """Export the signed checkpoints as JSON lines, oldest first."""
    with context.application() as application, application.store.view() as tx:
        lines = b"".join(format_checkpoint(each) for each in export(tx))
    if output is None:
        click.echo(lines, nl=False)
    else:
        output.write_bytes(lines)


@audit.command("erase")
@click.option("--user", "username", required=True, help="Username or email address of the user.")
@click.pass_obj
def erase(context: CliContext, username: str) -> None:
    """Erase a user's personal data from the log; the log stays verifiable."""
    with context.application() as application:
        with application.store.view() as tx:
            user = tx.users.by_login(username)
        if user is None:
            raise NotFound(f"There is no user {username!r}.")
        erased = application.audit.log.erase(SYSTEM, user.id)
    click.echo(f"The personal data of {erased} entries was erased.")
