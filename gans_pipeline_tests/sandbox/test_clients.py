"""The platform's own clients read the sandbox as they read the providers, and get out what was put in."""

import datetime as dt
from typing import Any

import pandas as pd
import pytest

from gans_pipeline.sandbox.geography import World, build_world
from gans_pipeline.sandbox.wikipedia import Encyclopedia
from gans_pipeline.settings import Settings
from gans_pipeline.sources.aerodatabox import AeroDataBox
from gans_pipeline.sources.http import Access, QuotaError, TransientError
from gans_pipeline.sources.open_meteo import OpenMeteo
from gans_pipeline.sources.openweathermap import OpenWeatherMap
from gans_pipeline.sources.ourairports import OurAirports
from gans_pipeline.sources.places import country_code
from gans_pipeline.sources.wikipedia import Wikipedia
from gans_pipeline.sources.wikipedia_article import parse_article
from gans_pipeline_tests.sandbox.conftest import CITIES, Sandbox


@pytest.fixture
def settings(sandbox: Sandbox) -> Settings:
    return Settings(sandbox_url=sandbox.url)


def test_every_city_is_read_back_as_it_was(settings: Settings, world: World) -> None:
    wikipedia = Wikipedia(settings.wikipedia, Access(settings.user_agent))
    listed = wikipedia.largest_cities()
    assert len(listed) == CITIES
    for city in world.cities:
        article = wikipedia.article(city.title)
        assert (article.title, article.name, article.country) == (city.title, city.name, city.country)
        assert f"Q{article.wikidata_id}" == city.wikidata_item
        assert (article.latitude, article.longitude) == (city.latitude, city.longitude)
        assert article.population == city.population


def test_every_layout_of_four_hundred_cities_is_read() -> None:
    encyclopedia = Encyclopedia(build_world(400, 0))
    wrong = [
        city.title
        for city in encyclopedia.world.cities
        if (article := parse_article(encyclopedia.html(city.title, lead_only=True))).population != city.population
        or country_code(article.country or "") != city.country_code
    ]
    assert wrong == []


def _steps(frame: pd.DataFrame) -> Any:
    return frame["valid_at"].reset_index(drop=True)


def test_both_weather_services_tell_of_the_same_steps(settings: Settings, world: World) -> None:
    steps = OpenWeatherMap(settings.openweathermap, Access(settings.user_agent))
    hours = OpenMeteo(settings.open_meteo, Access(settings.user_agent))
    for city in world.cities[:8]:
        one, two = (client.forecast(city.latitude, city.longitude) for client in (steps, hours))
        assert len(one) == 40
        assert list(_steps(one)) == list(_steps(two))
        difference = (one["temperature_c"].reset_index(drop=True) - two["temperature_c"].reset_index(drop=True)).abs()
        assert difference.mean() < 3  # two models, and up to 5 days ahead


def test_both_sources_of_airports_know_those_of_a_city(settings: Settings, world: World) -> None:
    london = world.by_title["London"]
    everywhere = OurAirports(settings.ourairports, Access(settings.user_agent)).airports()
    near = AeroDataBox(settings.aerodatabox, Access(settings.user_agent)).airports_near(
        london.latitude, london.longitude, 60
    )
    assert {"EGLL", "EGKK", "EGSS", "EGGW", "EGLC"} <= set(near["icao"]) & set(everywhere["icao"])
    scheduled = {airport.icao for airport in world.airports.values() if airport.scheduled_service}
    assert set(everywhere["icao"]) <= scheduled
    assert len(everywhere) > 2500


@pytest.mark.parametrize(("icao", "fewest"), [("EGLL", 200), ("KJFK", 150)])
def test_a_day_of_arrivals_is_read(settings: Settings, icao: str, fewest: int) -> None:
    arrivals = AeroDataBox(settings.aerodatabox, Access(settings.user_agent)).arrivals(icao, dt.date(2026, 11, 23))
    assert len(arrivals) > fewest
    assert {"IsOperator", "IsCodeshared"} <= set(arrivals["codeshare_status"])
    assert not arrivals.duplicated(["airport_icao", "flight_number", "scheduled_at"]).any()


def test_a_used_up_plan_and_lagging_replicas_are_understood(sandbox: Sandbox, settings: Settings) -> None:

    sandbox.put("limits", {"aerodatabox": {"units_per_month": 1}, "wikipedia": {"lag_s": 9}})
    with pytest.raises(QuotaError):
        AeroDataBox(settings.aerodatabox, Access(settings.user_agent)).arrivals("EGLL", dt.date(2026, 11, 23))
    with pytest.raises(TransientError):
        Wikipedia(settings.wikipedia, Access(settings.user_agent, sleep=lambda _: None)).article("London")
