"""The secret key: the given one, or one that is made once and kept."""

import os
import secrets
from pathlib import Path
from tempfile import mkstemp

from workbell.domain.errors import Invalid
from workbell.entrypoints.config.option import variable
from workbell.entrypoints.config.parsers import parse_secret
from workbell.entrypoints.config.settings import Settings


def signing_keys(settings: Settings, *, required: bool = True) -> list[bytes]:
    """
    Return the keys that sign tokens, the current one first.

    Where a server is used, there is no key unless the settings have one: it
    is an error if `required`, and an empty list if not.

    Raises:
        Invalid: None is given where servers are used, or the kept one is unusable.
    """
    if not required and settings.secret_key is None and not settings.embedded:
        return []
    return [key.encode() for key in (secret_key(settings), *settings.secret_key_previous)]


def secret_key(settings: Settings) -> str:
    """
    Return the key that signs tokens.

    Without one in the settings it is made and kept in `DATA_DIR/secret_key`,
    readable by its owner only; with `memory://` nothing is kept, and each call
    makes a new one.

    Raises:
        Invalid: None is given where servers are used, or the kept one is unusable.
    """
    if settings.secret_key is not None:
        return settings.secret_key
    if not settings.embedded:
        raise Invalid.field(variable("secret_key"), "must be set for database servers and Redis")
    if settings.database_url == "memory://":
        return secrets.token_urlsafe(48)
    return _kept(settings.data_dir / "secret_key")


def _kept(path: Path) -> str:
    try:
        if not path.exists():
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            _keep(path, secrets.token_urlsafe(48))
        key = path.read_text(encoding="ascii").strip()
        parse_secret(key)
    except (OSError, UnicodeError, Invalid) as error:
        raise Invalid(f"No secret key can be kept in {path}: {error}") from error
    return key


def _keep(path: Path, key: str) -> None:
    """
    Write the key under its name, whole or not at all, unless another process was first.

    A file with its content ready is linked to the name, which fails if the
    name is taken: nobody ever reads half a key, or one that is then replaced.
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
