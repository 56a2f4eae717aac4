"""The clients of the providers that are configured, made when they are first needed."""

import datetime as dt
from functools import cached_property

import pandas as pd

from gans_pipeline.settings import ProviderSettings, Settings
from gans_pipeline.sources.aerodatabox import AeroDataBox
from gans_pipeline.sources.http import PermanentError
from gans_pipeline.sources.open_meteo import OpenMeteo
from gans_pipeline.sources.openweathermap import OpenWeatherMap
from gans_pipeline.sources.ourairports import OurAirports
from gans_pipeline.sources.wikipedia import Wikipedia


class Sources:
    """One client a provider, with the addresses, keys and limits of the settings."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    @cached_property
    def wikipedia(self) -> Wikipedia:
        """English Wikipedia, which answers 403 to clients that name no contact."""
        if self.settings.contact is None:
            raise PermanentError(
                Wikipedia.name,
                "no contact: set GANS_CONTACT to a web page or an e-mail address of yours (their robot policy)",
            )
        return Wikipedia(self.settings.wikipedia, self.settings.user_agent)

    @cached_property
    def weather(self) -> OpenWeatherMap | OpenMeteo:
        """The configured provider of forecasts; without a choice, OpenWeatherMap if it has a key, else Open-Meteo."""
        if self._weather_is_openweathermap:
            return OpenWeatherMap(self.weather_settings, self.settings.user_agent)
        return OpenMeteo(self.weather_settings, self.settings.user_agent)

    @property
    def weather_settings(self) -> ProviderSettings:
        """Address, key and limits of the provider of forecasts."""
        return self.settings.openweathermap if self._weather_is_openweathermap else self.settings.open_meteo

    @property
    def _weather_is_openweathermap(self) -> bool:
        chosen = self.settings.weather_provider
        return chosen == "openweathermap" or (chosen is None and self.settings.openweathermap.key is not None)

    @cached_property
    def ourairports(self) -> OurAirports:
        """OurAirports."""
        return OurAirports(self.settings.ourairports, self.settings.user_agent)

    @cached_property
    def aerodatabox(self) -> AeroDataBox:
        """AeroDataBox, for arrivals and for the search of airports."""
        return AeroDataBox(self.settings.aerodatabox, self.settings.user_agent)

    def stamp(self, frame: pd.DataFrame, provider: str, now: dt.datetime) -> pd.DataFrame:
        """Return the frame with the columns that say where its rows come from."""
        return frame.assign(provider=self.settings.provenance(provider), retrieved_at=pd.Timestamp(now))
