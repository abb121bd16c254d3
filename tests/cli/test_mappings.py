from pathlib import Path

import pytest

from adapters.catalog import Catalog
from tests.cli.terminal import Shell

ACME = """provider: acme
verify: none
native_type: type
fields: {recipient: to, timestamp: at}
types: {gone: email.bounced}
"""


@pytest.fixture
def own(shell: Shell) -> Path:
    """The folder of the user's own mappings."""
    folder = shell.folder / "own"
    folder.mkdir()
    shell.settings["mappings_dir"] = str(folder)
    return folder


def test_every_provider_is_listed_the_users_own_too(shell: Shell, own: Path) -> None:
    (own / "acme.yaml").write_text(ACME)
    ran = shell.mailweir("mappings", "list")
    assert [row["provider"] for row in ran.rows] == Catalog.load(own).names()


def test_show_tells_which_secrets_and_samples_a_provider_has(shell: Shell) -> None:
    shown = shell.mailweir("mappings", "show", "sendgrid").row
    assert "public_key (optional)" in shown["secrets"]
    assert "bounce/blocked" in shown["samples"]


def test_a_provider_that_is_mistyped_is_guessed(shell: Shell) -> None:
    ran = shell.mailweir("mappings", "show", "sendgird")
    assert ran.code == 2
    assert "did you mean 'sendgrid'?" in ran.err


def test_sound_mappings_pass_the_check(shell: Shell, own: Path) -> None:
    (own / "acme.yaml").write_text(ACME)
    ran = shell.mailweir("mappings", "check")
    assert (ran.code, ran.out) == (0, f"{len(Catalog.load(own).names())} mappings are sound.\n")


@pytest.mark.parametrize(
    ("name", "text", "mistake"),
    [
        ("acme.yaml", ACME.replace("types:", "typs:"), ":5: typs: unknown key 'typs'; did you mean 'types'?"),
        ("acme.yaml", ACME.replace("email.bounced", "email.bouncd"), ":5: types.gone: "),
        ("acme.yaml", ACME.replace("at}", "at(}"), ":4: fields.timestamp: "),
        ("other.yaml", ACME, ": provider: the file must be called acme.yaml"),
        ("acme.yaml", ACME + "samples: {events: {gone: {type: gone}}}\n", ": samples.events.gone: cannot be read: "),
    ],
)
def test_a_mistake_is_shown_with_file_line_and_key(shell: Shell, own: Path, name: str, text: str, mistake: str) -> None:
    (own / name).write_text(text)
    ran = shell.mailweir("mappings", "check")
    assert ran.code == 1
    assert ran.out.startswith(f"{own / name}{mistake}")


def test_a_file_in_another_encoding_is_shown_with_file_and_line(shell: Shell, own: Path) -> None:
    (own / "acme.yml").write_bytes(ACME.encode() + b"title: Acm\xe9\n")
    ran = shell.mailweir("mappings", "check")
    assert (ran.code, ran.out) == (1, f"{own / 'acme.yml'}:6: not UTF-8: byte 0xe9\n")


def test_all_mistakes_are_shown_and_only_the_named_files_are_read(shell: Shell, tmp_path: Path) -> None:
    files = [tmp_path / "one.yaml", tmp_path / "two.yaml"]
    for file in files:
        file.write_text("provider: x\n")
    ran = shell.mailweir("mappings", "check", *map(str, files))
    assert [line.partition(":")[0] for line in ran.out.splitlines()] == list(map(str, files))
    assert "2 of 2" in ran.err
