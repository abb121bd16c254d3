import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from app.settings import Settings
from app.vault import Vault, VaultError

SECRETS = {"signing_secret": ["whsec_ä", "older"]}


def _settings(data_dir: Path, secret_key: str = "") -> Settings:
    return Settings(data_dir=data_dir, secret_key=secret_key)


@pytest.mark.parametrize("value", [SECRETS, ["a", "b"], "text", [], {}])
def test_what_is_sealed_can_be_opened(value: object) -> None:
    vault = Vault(["key"])
    assert vault.open(vault.seal(value)) == value


def test_a_seal_shows_nothing_and_never_repeats() -> None:
    vault = Vault(["key"])
    sealed = vault.seal(SECRETS)
    assert b"older" not in sealed
    assert sealed != vault.seal(SECRETS)


def test_a_wrong_key_is_told_by_the_name_of_the_setting() -> None:
    sealed = Vault(["key"]).seal(SECRETS)
    with pytest.raises(VaultError, match="MAILWEIR_SECRET_KEY"):
        Vault(["another"]).open(sealed)
    with pytest.raises(VaultError, match="MAILWEIR_SECRET_KEY"):
        Vault(["another"]).reseal(sealed)


@pytest.mark.parametrize("damaged", [b"", b"gAAAA", b"\xff\xfe"])
def test_what_was_never_sealed_is_refused(damaged: bytes) -> None:
    with pytest.raises(VaultError):
        Vault(["key"]).open(damaged)


def test_a_changed_seal_is_refused() -> None:
    sealed = bytearray(Vault(["key"]).seal(SECRETS))
    sealed[20] ^= 1
    with pytest.raises(VaultError):
        Vault(["key"]).open(bytes(sealed))


def test_while_keys_rotate_old_seals_open_and_new_ones_use_the_first_key() -> None:
    old, both, new = Vault(["old"]), Vault(["new", " old "]), Vault(["new"])
    assert both.open(old.seal(SECRETS)) == SECRETS
    assert new.open(both.seal(SECRETS)) == SECRETS
    assert new.open(both.reseal(old.seal(SECRETS))) == SECRETS
    sealed = new.seal(SECRETS)
    assert both.reseal(sealed) == sealed


def test_a_setting_without_a_key_is_refused() -> None:
    with pytest.raises(VaultError, match="MAILWEIR_SECRET_KEY"):
        Vault([" ", ""])


def test_the_setting_lists_keys_with_commas(tmp_path: Path) -> None:
    sealed = Vault(["old"]).seal(SECRETS)
    assert Vault.from_settings(_settings(tmp_path, "new, old")).open(sealed) == SECRETS
    assert list(tmp_path.iterdir()) == []


def test_without_the_setting_a_key_is_made_once_and_only_its_owner_can_read_it(tmp_path: Path) -> None:
    settings = _settings(tmp_path / "new" / "data")
    sealed = Vault.from_settings(settings).seal(SECRETS)
    kept = tmp_path / "new" / "data" / "secret.key"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert Vault.from_settings(settings).open(sealed) == SECRETS
    assert [path.name for path in kept.parent.iterdir()] == ["secret.key"]


def test_starts_at_the_same_time_agree_on_one_key(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as threads:
        vaults = list(threads.map(Vault.from_settings, [_settings(tmp_path)] * 8))
    assert all(vault.open(vaults[0].seal("x")) == "x" for vault in vaults)


def test_a_data_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(VaultError, match="MAILWEIR_DATA_DIR"):
        Vault.from_settings(_settings(tmp_path / "file" / "data"))
