"""Settings: where a value comes from, and what is said about a wrong one."""

from pathlib import Path

import pytest

from app.settings import PREFIX, Settings, SettingsInvalid, describe, load_settings


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in Settings.model_fields:
        monkeypatch.delenv(PREFIX + name.upper(), raising=False)


def line(settings: Settings, name: str) -> tuple[str, str]:
    [found] = [line for line in describe(settings) if line.name == name]
    return found.value, found.origin


def test_the_environment_comes_before_the_file_and_the_file_before_the_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mailweir.toml").write_text('port = 9000\nhost = "0.0.0.0"\n')
    monkeypatch.setenv("MAILWEIR_PORT", "9001")
    settings = load_settings()
    assert line(settings, "MAILWEIR_PORT") == ("9001", "environment")
    assert line(settings, "MAILWEIR_HOST") == ("0.0.0.0", "mailweir.toml")  # noqa: S104 - a value to read back
    assert line(settings, "MAILWEIR_PUBLIC_URL") == ("", "default")


def test_networks_are_a_comma_separated_list(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAILWEIR_ALLOW_NETWORKS", "127.0.0.0/8, 10.1.2.3")
    monkeypatch.setenv("MAILWEIR_TRUSTED_PROXIES", "127.0.0.1,2001:db8::/32")
    assert load_settings().allow_networks == ("127.0.0.0/8", "10.1.2.3/32")
    assert load_settings().trusted_proxies == ("127.0.0.1/32", "2001:db8::/32")


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("MAILWEIR_PORT", "eighty", "MAILWEIR_PORT: Input should be a valid integer"),
        ("MAILWEIR_PORT", "70000", "MAILWEIR_PORT: Input should be less than or equal to 65535"),
        ("MAILWEIR_API_KEY", "short", "MAILWEIR_API_KEY: an admin key needs 16 characters or more"),
        ("MAILWEIR_ALLOW_NETWORKS", "localhost", "MAILWEIR_ALLOW_NETWORKS: 'localhost' does not appear to be"),
        ("MAILWEIR_TRUSTED_PROXIES", "10.0.0.1/8", "MAILWEIR_TRUSTED_PROXIES: '10.0.0.1/8' is an address inside a"),
        ("MAILWEIR_TRUSTED_PROXIES", "0.0.0.0/0", "MAILWEIR_TRUSTED_PROXIES: '0.0.0.0/0' is every address there is"),
        ("MAILWEIR_LOG_FORMAT", "xml", "MAILWEIR_LOG_FORMAT: String should match"),
    ],
)
def test_a_wrong_value_is_refused_with_its_name(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, says: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsInvalid) as caught:
        load_settings()
    assert str(caught.value).startswith(says)


def test_an_unknown_line_in_the_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mailweir.toml").write_text("prot = 9000\n")
    with pytest.raises(SettingsInvalid, match="MAILWEIR_PROT: Extra inputs are not permitted"):
        load_settings()


def test_a_file_that_is_not_toml_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mailweir.toml").write_text("port: 9000\n")
    with pytest.raises(SettingsInvalid, match=r"mailweir\.toml cannot be read"):
        load_settings()


def test_an_empty_key_is_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAILWEIR_API_KEY", "")
    assert load_settings().api_key is None


def test_secrets_and_passwords_are_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAILWEIR_API_KEY", "mw_live_a_secret_key")
    monkeypatch.setenv("MAILWEIR_DATABASE_URL", "postgresql+asyncpg://me:hush@db.example/mailweir")
    shown = "\n".join(str(line) for line in describe(load_settings()))
    assert "a_secret_key" not in shown
    assert "hush" not in shown
    assert "postgresql+asyncpg://me:•••@db.example/mailweir" in shown


def test_the_public_url_is_host_and_port_unless_it_is_set() -> None:
    assert load_settings(port=9000).base_url == "http://127.0.0.1:9000"
    assert load_settings(public_url="https://hooks.example.com/").base_url == "https://hooks.example.com"


def test_a_mail_server_needs_a_sender(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAILWEIR_SMTP_URL", "smtp://user:secret@mail.example.com:587")
    with pytest.raises(SettingsInvalid, match=r"^MAILWEIR_ALERT_MAIL_FROM: MAILWEIR_SMTP_URL needs it"):
        load_settings()
    monkeypatch.setenv("MAILWEIR_ALERT_MAIL_FROM", "mailweir@example.com")
    monkeypatch.setenv("MAILWEIR_ALERT_MAIL_TO", "ops@example.com, ann@example.com")
    settings = load_settings()
    assert settings.alert_mail_to == ("ops@example.com", "ann@example.com")
    assert line(settings, "MAILWEIR_SMTP_URL")[0] == "smtp://user:•••@mail.example.com:587"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SMTP_URL", "mail.example.com"),
        ("SMTP_URL", "http://mail.example.com"),
        ("SMTP_URL", "smtp://"),
        ("ALERT_MAIL_FROM", "nobody"),
        ("ALERT_MAIL_TO", "ops@example.com,nobody"),
    ],
)
def test_a_wrong_mail_setting_is_refused(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAILWEIR_ALERT_MAIL_FROM", "mailweir@example.com")
    monkeypatch.setenv(f"MAILWEIR_{name}", value)
    with pytest.raises(SettingsInvalid, match=f"MAILWEIR_{name}"):
        load_settings()
