"""The clients of the providers that are configured, made when they are first needed, and what is around their calls."""

import datetime as dt
from functools import cached_property

import pandas as pd

from gans_pipeline.collect.budget import Budget
from gans_pipeline.settings import Settings
from gans_pipeline.sources.aerodatabox import AeroDataBox
from gans_pipeline.sources.archive import Archive
from gans_pipeline.sources.http import Access, PermanentError, spend_nothing
from gans_pipeline.sources.open_meteo import OpenMeteo, OpenMeteoArchive
from gans_pipeline.sources.openweathermap import OpenWeatherMap
from gans_pipeline.sources.ourairports import OurAirports
from gans_pipeline.sources.wikidata import Wikidata
from gans_pipeline.sources.wikipedia import Wikipedia
from gans_pipeline.storage.engine import create_engine


class Sources:
    """One client a provider, with the addresses, keys and limits of the settings.

    Answers are kept in ``archive``, calls counted in ``budget``; without them they are not. With ``replayed`` (two
    points in time) the answers are those that the archive has from between them; what came after ``reuse_since`` is not
    asked for again.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        archive: Archive | None = None,
        budget: Budget | None = None,
        replayed: tuple[dt.datetime, dt.datetime] | None = None,
        reuse_since: dt.datetime | None = None,
    ) -> None:
        self.settings = settings
        self.archive = archive
        self.budget = budget
        self.replayed = replayed
        self.access = Access(
            settings.user_agent,
            archive=archive,
            source=settings.provenance,
            replayed=replayed,
            reuse_since=reuse_since,
            spend=budget.spend if budget else spend_nothing,
        )

    @classmethod
    def configured(cls, settings: Settings) -> "Sources":
        """Return the clients with the archive and the budget that the settings name."""
        engine = create_engine(settings.database_url.get_secret_value(), tls_ca=settings.database_tls_ca)
        archive, budget = Archive(settings.archive), Budget(engine, settings)
        return cls(settings, archive=archive, budget=budget)

    def reusing(self, since: dt.datetime) -> "Sources":
        """Return clients that do not ask again for what came since a time."""
        return Sources(self.settings, archive=self.archive, budget=self.budget, reuse_since=since)

    @cached_property
    def wikipedia(self) -> Wikipedia:
        """English Wikipedia, which answers 403 to clients that name no contact."""
        self._require_contact(Wikipedia.name)
        return Wikipedia(self.settings.wikipedia, self.access)

    @cached_property
    def wikidata(self) -> Wikidata:
        """Wikidata, which has the same rule."""
        self._require_contact(Wikidata.name)
        return Wikidata(self.settings.wikidata, self.access)

    def _require_contact(self, provider: str) -> None:
        if self.settings.contact is None:
            raise PermanentError(
                provider,
                "no contact: set GANS_CONTACT to a web page or an e-mail address of yours (their robot policy)",
            )

    @cached_property
    def weather(self) -> OpenWeatherMap | OpenMeteo:
        """The configured provider of forecasts; without a choice, OpenWeatherMap if it has a key, else Open-Meteo."""
        if self._weather_is_openweathermap:
            return OpenWeatherMap(self.settings.openweathermap, self.access)
        return self.open_meteo

    @cached_property
    def open_meteo(self) -> OpenMeteo:
        """Open-Meteo, for forecasts and for the weather of the past two months."""
        return OpenMeteo(self.settings.open_meteo, self.access)

    @cached_property
    def open_meteo_archive(self) -> OpenMeteoArchive:
        """Open-Meteo's archive, for the weather of older days."""
        return OpenMeteoArchive(self.settings.open_meteo_archive, self.access)

    @property
    def _weather_is_openweathermap(self) -> bool:
        chosen = self.settings.weather_provider
        return chosen == "openweathermap" or (chosen is None and self.settings.openweathermap.key is not None)

    @cached_property
    def ourairports(self) -> OurAirports:
        """OurAirports."""
        return OurAirports(self.settings.ourairports, self.access)

    @cached_property
    def aerodatabox(self) -> AeroDataBox:
        """AeroDataBox, for arrivals and for the search of airports."""
        return AeroDataBox(self.settings.aerodatabox, self.access)

    def stamp(self, frame: pd.DataFrame, provider: str, now: dt.datetime) -> pd.DataFrame:
        """Return the frame with the columns that say where its rows come from."""
        return frame.assign(provider=self.settings.provenance(provider), retrieved_at=pd.Timestamp(now))
