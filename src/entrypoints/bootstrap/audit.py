"""Services of the audit log."""

from collections.abc import Sequence
from datetime import timedelta

from attrs import frozen

from workbell.adapters.checkpoint_log import FileCheckpointLog
from workbell.domain.audit.checkpoint import CheckpointSigner
from workbell.domain.identity.user import UserId
from workbell.entrypoints.bootstrap.backends import Backends
from workbell.ports.projects.repository import ProjectsTx
from workbell.ports.quarantine import QuarantineReporter
from workbell.services.audit.log import AuditLog
from workbell.services.audit.retention import AuditRetention
from workbell.services.audit.sealing import AuditSealer
from workbell.services.audit.verification import AuditVerifier

CHECKPOINT_FILE = "audit-checkpoints.jsonl"
"""Name of the file in DATA_DIR that gets a copy of every checkpoint."""


@frozen(kw_only=True)
class AuditServices:
    """The use cases of the audit log."""

    log: AuditLog
    sealer: AuditSealer
    verifier: AuditVerifier
    retention: AuditRetention


def administered_projects(tx: ProjectsTx, user_id: UserId) -> Sequence[int]:
    """Return the projects whose audit entries a user may read besides their own."""
    return tx.project_members.administered_by(user_id)


def make_audit(
    backends: Backends, keys: Sequence[bytes], reporter: QuarantineReporter
) -> AuditServices:
    """Return the services; the first of `keys` signs checkpoints."""
    store, clock = backends.store, backends.clock
    signer = CheckpointSigner.of(keys)
    days = backends.settings.retention_audit_days
    file = FileCheckpointLog(backends.folder / CHECKPOINT_FILE)
    return AuditServices(
        log=AuditLog(store=store, clock=clock, administered_projects=administered_projects),
        sealer=AuditSealer(store=store, clock=clock, signer=signer, log=file, reporter=reporter),
        verifier=AuditVerifier(store=store, signer=signer, log=file),
        retention=AuditRetention(
            store=store,
            clock=clock,
            signer=signer,
            max_age=None if days is None else timedelta(days=days),
        ),
    )
