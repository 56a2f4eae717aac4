"""What every source needs to know about places: the code of a country that it names, the time zone of a position.

Here belongs reference data that is on the disk with pycountry and tzfpy. What a provider calls a country
comes from its own module; distances and radii belong into ``collect``.
"""

import functools
import re
import unicodedata
from collections.abc import Iterator
from typing import Any

KOSOVO = "XK"
"""Not assigned by ISO, but used by the EU, the IMF and OurAirports."""

_ALIASES = {
    "AE": ("UAE",),
    "BN": ("Brunei",),
    "CD": ("DR Congo", "DRC", "Congo-Kinshasa", "Congo (Kinshasa)", "Democratic Republic of Congo"),
    "CG": ("Congo-Brazzaville", "Congo (Brazzaville)", "Republic of Congo"),
    "CI": ("Ivory Coast",),
    "CN": ("PRC", "PR China", "Mainland China"),
    "CV": ("Cape Verde",),
    "BQ": ("Caribbean Netherlands",),
    "FK": ("Falkland Islands",),
    "FM": ("Micronesia",),
    "GB": ("UK", "Great Britain", "Britain", "England", "Scotland", "Wales", "Northern Ireland"),
    "HM": ("Heard and McDonald Islands",),
    "MF": ("Saint Martin",),
    "MK": ("Macedonia",),
    "MM": ("Burma",),
    "MO": ("Macau",),
    "PS": ("Palestine", "Palestinian Territory", "Palestinian Territories", "Occupied Palestinian Territory"),
    "RU": ("Russia",),
    "ST": ("São Tomé and Principe",),
    "SX": ("Sint Maarten",),
    "SZ": ("Swaziland",),
    "TF": ("French Southern and Antarctic Lands",),
    "TL": ("East Timor",),
    "TR": ("Turkey",),
    "TW": ("Republic of China", "Chinese Taipei"),
    "US": ("USA", "US", "United States of America"),
    "VA": ("Vatican", "Vatican City", "Vatican City State", "Holy See"),
    "VG": ("British Virgin Islands",),
    "VI": ("US Virgin Islands",),
    KOSOVO: ("Kosovo",),
}
"""Names in use at Wikipedia and OurAirports that pycountry lacks, or that mean something else to it."""

_STYLE = re.compile(
    r"(?:(?:federal|federative|democratic|socialist|islamic|united|plurinational|bolivarian|oriental|co-operative|"
    r"people s|arab|independent) )*(?:republic|kingdom|federation|principality|sultanate|grand duchy) of (?:the )?"
)
"""A style before a name. "State of" is not one: the State of Georgia is not the country."""


def country_code(name: str) -> str:
    """Return the ISO 3166-1 alpha-2 code of a country by one of its English names; Kosovo is XK.

    Case, accents, punctuation, a leading "the" and a style ("Kingdom of") make no difference. England, Scotland,
    Wales and Northern Ireland are GB. Raises ValueError that names an unknown country: pycountry's fuzzy search
    would answer something for nearly every text.
    """
    codes = _codes_by_name()
    folded = _fold(name)
    for candidate in (folded, _fold(re.sub(r"\([^()]*\)", " ", name))):
        code = codes.get(candidate) or codes.get(_STYLE.sub("", candidate, count=1))
        if code is not None:
            return code
    raise ValueError(f"unknown country {name!r}")


def is_country(name: str) -> bool:
    """Tell whether :func:`country_code` knows the name."""
    try:
        country_code(name)
    except ValueError:
        return False
    return True


def country_name(code: str) -> str | None:
    """Return the common English name of an ISO 3166-1 alpha-2 code, or None where it is not assigned."""
    if code == KOSOVO:
        return "Kosovo"
    import pycountry

    country = pycountry.countries.get(alpha_2=code)
    return None if country is None else str(getattr(country, "common_name", country.name))


def country_of_subdivision(name: str) -> str | None:
    """Return the country that has a state or province of this name (ISO 3166-2), None if none or several have one."""
    codes = _codes_by_subdivision().get(_fold(name), set())
    return country_name(*codes) if len(codes) == 1 else None


def timezone_at(latitude: float, longitude: float) -> str:
    """Return the IANA time zone at a position (degrees north and east, WGS 84).

    At sea this is the nautical zone, ``Etc/GMT+2`` for two hours behind UTC: a harbour a few metres off the polygon
    of its coast still gets a usable zone. Where two clocks are in use, as in Xinjiang, it is the official one. Raises
    ValueError for a position that is not on the globe.
    """
    # tzfpy and the exact polygons of timezonefinder differ on no city above 15,000 inhabitants outside China (34,006
    # compared); tzfpy is 5 MB instead of 36 and has wheels for every platform, timezonefinder for x86-64 Linux alone.
    from tzfpy import get_tz

    if not (-90 <= latitude <= 90 and -180 <= longitude <= 180):
        raise ValueError(f"no position on the globe: latitude {latitude}, longitude {longitude}")
    zone = get_tz(longitude, latitude)
    if not zone:
        raise ValueError(f"no time zone at latitude {latitude}, longitude {longitude}")
    return zone


@functools.cache
def _codes_by_name() -> dict[str, str]:
    import pycountry

    codes: dict[str, str] = {}
    for country in pycountry.countries:
        for name in _names(country):
            codes.setdefault(_fold(name), country.alpha_2)
    codes.update((_fold(name), code) for code, names in _ALIASES.items() for name in names)
    return codes


@functools.cache
def _codes_by_subdivision() -> dict[str, set[str]]:
    import pycountry

    codes: dict[str, set[str]] = {}
    for subdivision in pycountry.subdivisions:
        codes.setdefault(_fold(subdivision.name), set()).add(subdivision.country_code)
    return codes


def _names(country: Any) -> Iterator[str]:
    for attribute in ("name", "common_name", "official_name"):
        name = getattr(country, attribute, None)
        if name:
            yield name
            main, _, style = name.partition(", ")
            if style.rstrip().endswith((" of", " of the")):
                yield f"{style} {main}"  # 'Congo, The Democratic Republic of the'


def _fold(name: str) -> str:
    decomposed = unicodedata.normalize("NFKD", name.casefold())
    letters = "".join(character for character in decomposed if not unicodedata.combining(character))
    words = re.sub(r"\W+", " ", re.sub(r"(?<=\b\w)\.", "", letters.replace("&", " and "))).split()
    return " ".join("saint" if word == "st" else word for word in words[words[:1] == ["the"] :])
