"""Every setting of the platform, typed, read from the environment (``GANS_…``) and a ``.env`` file.

A setting belongs here if it differs between a laptop, a test and production. Facts about a provider's format belong
into its module in ``sources``; facts about a table into ``tables``.
"""

from importlib.metadata import version
from typing import Any, Literal

from pydantic import BaseModel, Field, HttpUrl, SecretStr, TypeAdapter, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict


class ProviderSettings(BaseModel):
    """How one provider is reached, and how fast it may be asked.

    ``per_second`` and ``per_minute`` bound the rate of requests over all threads of a process, ``concurrency`` the
    number of requests under way at once, ``timeout_s`` (seconds) the wait for the first byte, and then the one for the
    whole answer; connecting has 5 seconds. ``budget`` bounds what all runs together spend in a ``budget_period`` (month
    or day, UTC), in the provider's own units; ``archive_days`` is for how long its raw answers are kept. None is
    without limit.
    """

    url: str
    key: SecretStr | None = None
    per_second: float = Field(gt=0)
    per_minute: float | None = Field(default=None, gt=0)
    concurrency: int = Field(default=1, ge=1, le=64)
    timeout_s: float = Field(default=30, gt=0)
    budget: float | None = Field(default=None, ge=0)
    budget_period: Literal["day", "month"] = "day"
    archive_days: int | None = Field(default=None, ge=1)

    @field_validator("url")
    @classmethod
    def _http_without_trailing_slash(cls, url: str) -> str:
        TypeAdapter(HttpUrl).validate_python(url)
        return url.rstrip("/")

    @field_validator("key")
    @classmethod
    def _empty_key_is_no_key(cls, key: SecretStr | None) -> SecretStr | None:
        return key if key and key.get_secret_value().strip() else None


class Wikipedia(ProviderSettings):
    """English Wikipedia; Wikimedia's robot policy allows 200 requests a minute to a client that names a contact."""

    url: str = "https://en.wikipedia.org"
    per_second: float = 1
    per_minute: float | None = 200


class Wikidata(ProviderSettings):
    """Wikidata, which has the robot policy of Wikipedia; asked for 50 cities at a time."""

    url: str = "https://www.wikidata.org"
    per_second: float = 1
    per_minute: float | None = 200


class OpenWeatherMap(ProviderSettings):
    """5 day / 3 hour forecast; the free plan allows 60 requests a minute and 1,000 a day."""

    url: str = "https://api.openweathermap.org"
    per_second: float = 10
    per_minute: float | None = 60
    concurrency: int = 4
    budget: float | None = 1000


class OpenMeteo(ProviderSettings):
    """Open-Meteo forecast; 600 requests a minute and 10,000 a day without a key, not for commercial use.

    A call for many variables or days counts as more than one.
    """

    url: str = "https://api.open-meteo.com"
    per_second: float = 10
    per_minute: float | None = 600
    concurrency: int = 2
    budget: float | None = 10_000


class OpenMeteoArchive(ProviderSettings):
    """Open-Meteo's archive of reanalyses, on a host of its own; the limits are those of the forecast host."""

    url: str = "https://archive-api.open-meteo.com"
    per_second: float = 10
    per_minute: float | None = 600
    concurrency: int = 2
    budget: float | None = 10_000


class OurAirports(ProviderSettings):
    """OurAirports' nightly CSV, about 13 MB, public domain."""

    url: str = "https://davidmegginson.github.io/ourairports-data"
    per_second: float = 1
    timeout_s: float = 120


class AeroDataBox(ProviderSettings):
    """Flight arrivals and airport search through RapidAPI; the free plan allows 1 request a second, 400 units a month.

    Its terms allow to keep answers for 7 days.
    """

    url: str = "https://aerodatabox.p.rapidapi.com"
    per_second: float = 0.9
    timeout_s: float = 60
    budget: float | None = 400
    budget_period: Literal["day", "month"] = "month"
    archive_days: int | None = 7


SANDBOX_ROUTES = {
    "wikipedia": "/wikipedia",
    "wikidata": "/wikidata",
    "openweathermap": "/owm",
    "open_meteo": "/open-meteo",
    "open_meteo_archive": "/open-meteo-archive",
    "ourairports": "/ourairports",
    "aerodatabox": "/aerodatabox",
}
"""Where the sandbox serves each provider, below its own address."""

PROVIDERS = tuple(name.replace("_", "-") for name in SANDBOX_ROUTES)
"""The providers by the names that their rows have."""

SANDBOX_PER_SECOND = 1000.0
SANDBOX_CONCURRENCY = 16
"""What the sandbox allows a client, unless it is told to enforce the provider's own limits."""


class Settings(BaseSettings):
    """All settings; ``Settings()`` reads them, an invalid one raises ``pydantic.ValidationError`` that names it."""

    model_config = SettingsConfigDict(
        env_prefix="GANS_",
        env_file=".env",
        env_ignore_empty=True,
        env_nested_delimiter="_",
        env_nested_max_split=1,
        extra="ignore",
        hide_input_in_errors=True,  # an invalid URL or key must not be printed
    )

    database_url: SecretStr = SecretStr("sqlite:///data/gans.db")
    database_tls_ca: str | None = None
    cities: str = "30"
    airport_radius_km: float = Field(default=80, gt=0, le=500)  # Narita is 63 km from the centre of Tokyo
    contact: str | None = None
    weather_provider: Literal["openweathermap", "open-meteo"] | None = None
    airports_provider: Literal["ourairports", "aerodatabox"] = "ourairports"
    sandbox_url: str | None = None
    archive: str = "data/archive"

    wikipedia: Wikipedia = Wikipedia()
    wikidata: Wikidata = Wikidata()
    openweathermap: OpenWeatherMap = OpenWeatherMap()
    open_meteo: OpenMeteo = OpenMeteo()
    open_meteo_archive: OpenMeteoArchive = OpenMeteoArchive()
    ourairports: OurAirports = OurAirports()
    aerodatabox: AeroDataBox = AeroDataBox()

    def model_post_init(self, _context: object) -> None:
        """Point every provider at the sandbox where one is set: its address, a key that it accepts, no limits.

        Limits that were set by the user stay: they are what is to be tried out.
        """
        if self.sandbox_url is None:
            return
        base = self.sandbox_url.rstrip("/")
        for name, route in SANDBOX_ROUTES.items():
            provider: ProviderSettings = getattr(self, name)
            lifted = {
                "per_second": SANDBOX_PER_SECOND,
                "per_minute": None,
                "concurrency": SANDBOX_CONCURRENCY,
                "budget": None,
            }
            update: dict[str, Any] = {
                limit: value for limit, value in lifted.items() if limit not in provider.model_fields_set
            }
            update |= {"url": base + route, "key": SecretStr("sandbox-key")}
            setattr(self, name, provider.model_copy(update=update))
        self.contact = self.contact or "https://sandbox.invalid/contact"

    def provider(self, name: str) -> ProviderSettings:
        """Return the settings of a provider by the name that its rows have: 'open-meteo'."""
        found: ProviderSettings = getattr(self, name.replace("-", "_"))
        return found

    def provenance(self, provider: str) -> str:
        """Return what the ``provider`` column says: 'wikipedia', or 'sandbox-wikipedia' for invented data."""
        return f"sandbox-{provider}" if self.sandbox_url else provider

    @property
    def user_agent(self) -> str:
        """What we call ourselves: name, version and a contact, as Wikimedia's User-Agent policy demands."""
        contact = f" ({self.contact})" if self.contact else ""
        return f"gans-pipeline/{version('gans-pipeline')}{contact} requests/{version('requests')}"
