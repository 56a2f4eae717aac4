"""Settings, and the example file that explains them."""

import re
from pathlib import Path

import pytest
from pydantic import BaseModel, SecretStr

from gans_pipeline.settings import ProviderSettings, Settings

EXAMPLE = Path(__file__).parents[1] / ".env.example"


@pytest.fixture(autouse=True)
def _default_archive(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GANS_ARCHIVE")


def variables() -> dict[str, object]:
    """Return the default of every setting, by the name of its variable."""
    found: dict[str, object] = {}
    for name, field in Settings.model_fields.items():
        if isinstance(field.default, ProviderSettings):
            provider: BaseModel = field.default
            found |= {f"GANS_{name}_{part}".upper(): getattr(provider, part) for part in type(provider).model_fields}
        else:
            found[f"GANS_{name}".upper()] = field.default
    return found


def written(value: object) -> str:
    """Return a default as the example shows it."""
    if value is None:
        return ""
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    return f"{value:g}" if isinstance(value, float) else str(value)


def test_the_example_shows_every_setting_with_its_default() -> None:
    shown = dict(re.findall(r"^#?(GANS_\w+)=(.*)$", EXAMPLE.read_text("utf-8"), re.MULTILINE))
    assert shown == {name: written(default) for name, default in variables().items()}


def test_every_line_of_the_example_can_be_switched_on(tmp_path: Path) -> None:
    text = re.sub(r"^#(GANS_)", r"\1", EXAMPLE.read_text("utf-8"), flags=re.MULTILINE)
    (tmp_path / ".env").write_text(text, "utf-8")
    assert Settings(_env_file=tmp_path / ".env") == Settings()


@pytest.mark.parametrize("name", sorted(variables()))
def test_every_variable_of_the_example_reaches_its_setting(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    values = {"DATABASE_URL": "sqlite:///other.db", "PROVIDER": "aerodatabox", "URL": "http://127.0.0.1:1", "": "8"}
    value = next(value for end, value in values.items() if name.endswith(end))
    if name == "GANS_WEATHER_PROVIDER":
        value = "open-meteo"
    elif name.endswith("_PERIOD"):
        value = "day" if name == "GANS_AERODATABOX_BUDGET_PERIOD" else "month"
    monkeypatch.setenv(name, value)
    assert Settings() != Settings.model_construct()
