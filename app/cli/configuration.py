"""The settings as verbs need them: mistakes in them end the verb with a sentence."""

from typing import Any

from app.cli.errors import Misconfigured
from app.settings import Settings, SettingsInvalid, load_settings


def settings_in_force(**overrides: Any) -> Settings:
    """The settings, `overrides` before all others unless None. Raises Misconfigured."""
    try:
        return load_settings(**{name: value for name, value in overrides.items() if value is not None})
    except SettingsInvalid as error:
        raise Misconfigured(str(error)) from error
