"""The secret key: from the settings, or generated once and stored."""

import os
import secrets
from pathlib import Path
from tempfile import mkstemp

from workbell.domain.errors import Invalid
from workbell.entrypoints.config.option import variable
from workbell.entrypoints.config.parsers import check_secret
from workbell.entrypoints.config.settings import Settings


def signing_keys(settings: Settings, *, required: bool = True) -> list[bytes]:
    """
    Return the keys that sign tokens, the current key first.

    If a database server or Redis is used and SECRET_KEY is not set: an empty
    list, or an error if `required`.

    Raises:
        Invalid: SECRET_KEY is missing, or the stored key is unusable.
    """
    if not required and settings.secret_key is None and not settings.embedded:
        return []
    return [key.encode() for key in (secret_key(settings), *settings.secret_key_previous)]


def secret_key(settings: Settings) -> str:
    """
    Return the key that signs tokens.

    If SECRET_KEY is not set, on SQLite a key is generated and stored in
    `DATA_DIR/secret_key` (mode 0600); with `memory://` each call generates one.

    Raises:
        Invalid: A server is used without SECRET_KEY, or the stored key is unusable.
    """
    if settings.secret_key is not None:
        return settings.secret_key
    if not settings.embedded:
        raise Invalid.field(
            variable("secret_key"), "must be set if a database server or Redis is used"
        )
    if settings.database_url == "memory://":
        return secrets.token_urlsafe(48)
    return _load_or_create(settings.data_dir / "secret_key")


def _load_or_create(path: Path) -> str:
    try:
        if not path.exists():
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            _create_file(path, secrets.token_urlsafe(48))
        key = path.read_text(encoding="ascii").strip()
        check_secret(key)
    except (OSError, UnicodeError, Invalid) as error:
        raise Invalid(f"The secret key in {path} cannot be read or created: {error}") from error
    return key


def _create_file(path: Path, key: str) -> None:
    """
    Create the key file atomically, unless another process was first.

    A complete temporary file is linked to the final name, which fails if the
    name exists. No process can read a partial key, or one that is replaced later.
    """
    handle, draft = mkstemp(dir=path.parent, prefix=".secret_key")  # O_EXCL and mode 0600
    try:
        with os.fdopen(handle, "w", encoding="ascii") as stream:
            stream.write(f"{key}\n")
            stream.flush()
            os.fsync(stream.fileno())
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        Path(draft).unlink()
