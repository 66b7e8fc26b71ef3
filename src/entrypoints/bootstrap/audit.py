"""Services of the audit log."""

from collections.abc import Sequence

from attrs import frozen

from workbell.adapters.checkpoint_log import FileCheckpointLog
from workbell.domain.audit.checkpoint import CheckpointSigner
from workbell.entrypoints.bootstrap.backends import Backends
from workbell.services.audit.log import AuditLog
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


def make_audit(backends: Backends, keys: Sequence[bytes]) -> AuditServices:
    """Return the services; the first of `keys` signs checkpoints."""
    store, clock = backends.store, backends.clock
    signer = CheckpointSigner.of(keys)
    file = FileCheckpointLog(backends.folder / CHECKPOINT_FILE)
    return AuditServices(
        log=AuditLog(store=store, clock=clock),
        sealer=AuditSealer(store=store, clock=clock, signer=signer, log=file),
        verifier=AuditVerifier(store=store, signer=signer, log=file),
    )
