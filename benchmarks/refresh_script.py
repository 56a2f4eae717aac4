"""The work of a refresh as tutorials and case studies publish it: a loop over ``requests.get``, a frame, ``to_sql``.

Those scripts call ``requests.get`` and not a ``requests.Session``, so that every request opens its own connection; that
is kept. They append and take no notice of flights that are listed twice; here these are dropped, so that as many rows
are stored as by the others.
"""

import os

import pandas as pd
import requests

from benchmarks.refresh_rows import (
    ARRIVAL_KEY,
    ARRIVAL_PARAMS,
    FORECAST_PARAMS,
    HEADERS,
    Work,
    arrival_row,
    forecast_row,
)


def main() -> None:
    """Ask for all cities, then for all airports, one after the other, and append what came to two tables."""
    work = Work.of_this_process()
    url = os.environ["GANS_DATABASE_URL"]

    forecasts = []
    for city in work.cities:
        params = {"lat": city["latitude"], "lon": city["longitude"], "appid": "sandbox-key", **FORECAST_PARAMS}
        response = requests.get(f"{work.sandbox_url}/owm/data/2.5/forecast", params=params, timeout=30)
        response.raise_for_status()
        forecasts += [forecast_row(city["city_id"], step, work.issued_at) for step in response.json()["list"]]
    pd.DataFrame(forecasts).to_sql("weather_forecasts", url, if_exists="append", index=False)

    arrivals = []
    for window in work.windows:
        icao, local_date = window["icao"], window["local_date"]
        address = f"{work.sandbox_url}/aerodatabox/flights/airports/icao/{icao}/{window['start']}/{window['end']}"
        response = requests.get(address, params=ARRIVAL_PARAMS, headers=HEADERS, timeout=60)
        response.raise_for_status()
        if response.status_code == 204:  # no flights
            continue
        arrivals += [arrival_row(icao, local_date, flight) for flight in response.json()["arrivals"]]
    frame = pd.DataFrame(arrivals).drop_duplicates(ARRIVAL_KEY)
    frame.to_sql("arrivals", url, if_exists="append", index=False)


if __name__ == "__main__":
    main()
