"""The secret key is given, or made once and kept."""

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


def test_a_given_key_is_used(tmp_path: Path) -> None:
    """And nothing is kept."""
    assert secret_key(Settings(data_dir=tmp_path / "data", secret_key=KEY)) == KEY
    assert not (tmp_path / "data").exists()


def test_a_program_on_a_server_may_have_none(tmp_path: Path) -> None:
    """A process that issues tokens may not."""
    settings = Settings(data_dir=tmp_path, database_url="postgresql://127.0.0.1/none")
    assert signing_keys(settings, required=False) == []
    with pytest.raises(Invalid, match="must be set"):
        signing_keys(settings)
    assert signing_keys(evolve(settings, secret_key=KEY), required=False) == [KEY.encode()]


def test_a_key_is_made_once_and_kept(tmp_path: Path) -> None:
    """Readable by its owner only; tokens outlive a restart."""
    settings = Settings(data_dir=tmp_path / "deep" / "data")
    key = secret_key(settings)
    assert len(key) >= 32
    assert secret_key(settings) == key
    assert [path.name for path in settings.data_dir.iterdir()] == ["secret_key"]
    assert stat.S_IMODE((settings.data_dir / "secret_key").stat().st_mode) == 0o600
    assert stat.S_IMODE(settings.data_dir.stat().st_mode) == 0o700


def test_processes_that_start_together_agree(tmp_path: Path) -> None:
    """Whoever is first decides, and nobody reads half a key."""
    settings = [Settings(data_dir=tmp_path / str(number // 8)) for number in range(400)]
    with ThreadPoolExecutor(8) as pool:
        keys = list(pool.map(secret_key, settings))
    assert len(set(keys)) == 50
    assert all(len(set(keys[start : start + 8])) == 1 for start in range(0, 400, 8))


def test_in_memory_nothing_is_kept(tmp_path: Path) -> None:
    """A test leaves no folder behind."""
    settings = Settings(data_dir=tmp_path / "data", database_url="memory://")
    assert len(secret_key(settings)) >= 32
    assert not (tmp_path / "data").exists()


def test_servers_need_a_given_key(tmp_path: Path) -> None:
    """Another process would make another one."""
    with pytest.raises(Invalid, match="WORKBELL_SECRET_KEY: must be set"):
        secret_key(Settings(data_dir=tmp_path, redis_url="redis://localhost"))


@pytest.mark.parametrize("kept", ["", "short", "k\u00fcrzer" * 8])
def test_a_key_that_was_spoilt_is_not_replaced(tmp_path: Path, kept: str) -> None:
    """Somebody should know before every token becomes void."""
    (tmp_path / "secret_key").write_text(kept)
    with pytest.raises(Invalid, match="The secret key in .* cannot be read or created"):
        secret_key(Settings(data_dir=tmp_path))
    assert (tmp_path / "secret_key").read_text() == kept


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    """In one line, with its path."""
    (tmp_path / "file").write_text("")
    with pytest.raises(Invalid, match="file"):
        secret_key(Settings(data_dir=tmp_path / "file"))
