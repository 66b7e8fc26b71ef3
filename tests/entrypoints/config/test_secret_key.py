"""The secret key comes from the settings, or is generated once and stored."""

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from attrs import evolve

from workbell.domain.errors import Invalid
from workbell.entrypoints.config.secret_key import secret_key, signing_keys
from workbell.entrypoints.config.settings import Settings

pytestmark = pytest.mark.unit

KEY = "0123456789abcdef" * 2


def test_a_key_in_the_settings_is_used(tmp_path: Path) -> None:
    """No file is written."""
    assert secret_key(Settings(data_dir=tmp_path / "data", secret_key=KEY)) == KEY
    assert not (tmp_path / "data").exists()


def test_a_library_client_on_a_server_needs_no_key(tmp_path: Path) -> None:
    """A process that issues tokens needs one."""
    settings = Settings(data_dir=tmp_path, database_url="postgresql://127.0.0.1/none")
    assert signing_keys(settings, required=False) == []
    with pytest.raises(Invalid, match="must be set"):
        signing_keys(settings)
    assert signing_keys(evolve(settings, secret_key=KEY), required=False) == [KEY.encode()]


def test_a_key_is_generated_once_and_stored(tmp_path: Path) -> None:
    """Only its owner can read the file; tokens remain valid after a restart."""
    settings = Settings(data_dir=tmp_path / "deep" / "data")
    key = secret_key(settings)
    assert len(key) >= 32
    assert secret_key(settings) == key
    assert [path.name for path in settings.data_dir.iterdir()] == ["secret_key"]
    assert stat.S_IMODE((settings.data_dir / "secret_key").stat().st_mode) == 0o600
    assert stat.S_IMODE(settings.data_dir.stat().st_mode) == 0o700


def test_concurrent_processes_use_the_same_generated_key(tmp_path: Path) -> None:
    """The first process stores the key; no process reads a partial one."""
    settings = [Settings(data_dir=tmp_path / str(number // 8)) for number in range(400)]
    with ThreadPoolExecutor(8) as pool:
        keys = list(pool.map(secret_key, settings))
    assert len(set(keys)) == 50
    assert all(len(set(keys[start : start + 8])) == 1 for start in range(0, 400, 8))


def test_with_a_store_in_memory_no_key_is_stored(tmp_path: Path) -> None:
    """No folder is created."""
    settings = Settings(data_dir=tmp_path / "data", database_url="memory://")
    assert len(secret_key(settings)) >= 32
    assert not (tmp_path / "data").exists()


def test_servers_require_a_key_in_the_settings(tmp_path: Path) -> None:
    """Each process would generate a different one."""
    with pytest.raises(Invalid, match="WORKBELL_SECRET_KEY: must be set"):
        secret_key(Settings(data_dir=tmp_path, redis_url="redis://localhost"))


@pytest.mark.parametrize("content", ["", "short", "k\u00fcrzer" * 8])
def test_a_damaged_key_file_is_not_replaced(tmp_path: Path, content: str) -> None:
    """An operator must decide, because a new key invalidates all tokens."""
    (tmp_path / "secret_key").write_text(content)
    with pytest.raises(Invalid, match=r"The secret key in .* cannot be read or created"):
        secret_key(Settings(data_dir=tmp_path))
    assert (tmp_path / "secret_key").read_text() == content


def test_an_unwritable_folder_is_named_in_the_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Invalid, match="file"):
        secret_key(Settings(data_dir=tmp_path / "file"))
