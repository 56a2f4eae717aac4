"""How Wikipedia's infoboxes print numbers, dates, labels and angles: text in, values out.

Here belongs what can be decided on a line of text without its page. Where that line stands belongs into
``wikipedia_pages``.
"""

import datetime as dt
import itertools
import re
from decimal import Decimal

MOST_PEOPLE = 10_000_000_000
"""More than humanity: such a number is a misprint, or was never a population."""

_INVISIBLE = re.compile("[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff]")
_FOOTNOTE = re.compile(
    r"\[\s*(?:\d{1,4}|[a-z]{1,2}|(?:note|nb|fn|ref)\.?\s*\w{1,3}|[^\[\]]*(?:needed|citation|source|dubious)[^\[\]]*)\s*\]",
    re.IGNORECASE,
)


def fold(text: str) -> str:
    """Return the text on one line: single spaces, no invisible characters, no footnote marks in brackets."""
    return " ".join(_FOOTNOTE.sub(" ", _INVISIBLE.sub("", text)).split())


_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_YEAR = r"(?<![\d.,])(?:1[5-9]\d\d|20\d\d|2100)(?!\d|[.,]\d|\s?%|th\b)"
_MONTH = (
    r"(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|"
    r"oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)\b\.?"
)
_DAY = r"\d{1,2}(?:st|nd|rd|th)?"
_DATE = (
    rf"(?:{_YEAR}-\d\d-\d\d\b|\b\d{{1,2}}\.\d{{1,2}}\.(?:1[5-9]|20)\d\d\b|\b{_DAY}\s+(?:of\s+)?{_MONTH},?\s+{_YEAR}|"
    rf"\b{_MONTH}\s+{_DAY},?\s+{_YEAR}|\b{_MONTH},?\s+{_YEAR}|{_YEAR}(?:[–—/-]\d{{2,4}}\b)?)"
)
_SURVEY = r"(?:census|estimate[ds]?|estimation|est\b\.?|projection|projected|survey|preliminary)"
_DATED = (
    rf"(?:(?:as (?:of|at|per)|at|in|on|by|mid|early|late|end of|{_SURVEY}(?: of)?)[\s-]*)*{_DATE}"
    rf"(?:[\s,]*(?:\w+ )?{_SURVEY})?"
)
_LONE_DATE = re.compile(_DATED, re.IGNORECASE)
_NOTED = re.compile(rf"{_DATE}|\b{_SURVEY}", re.IGNORECASE)
_ANY_DATE = re.compile(_DATE, re.IGNORECASE)
_PARENTHESES = re.compile(
    r"\s*(?:\((?P<closed>[^()]*(?:\([^()]*\)[^()]*)*)\)(?:\d{1,2}(?![\d,.]))?|\((?P<open>[^()]*)$)"
)
_GROUPS = re.compile(r"\d[,.]\d{3}(?!\d)")
_TRAILING_DATE = re.compile(rf"(?P<label>.*?[^\W\d_].*?)[\s,:–—-]+(?P<note>{_DATED})", re.IGNORECASE)


def split_note(text: str) -> tuple[str, str | None]:
    """Return the text without its notes in parentheses that name a date or a survey, and the one with the date.

    Parentheses that say something else, a rank or an area, stay in the text: 'Macrometropolis (Extended Metro)'.
    A digit right behind a note is a footnote mark that lost its brackets: '(2018)2'.
    """
    notes = []
    for found in reversed([*_PARENTHESES.finditer(text)]):
        note = (found["closed"] or found["open"] or "").strip()
        if _NOTED.search(note) and not _GROUPS.search(note):
            text = text[: found.start()] + " " + text[found.end() :]
            notes.append(note)
    dated = [note for note in notes if _ANY_DATE.search(note)]
    return " ".join(text.split()), next(iter(dated or notes), None)


def split_label(text: str) -> tuple[str, str | None]:
    """Return a row's or a section's label and its note: in parentheses, or a date at the end ('Estimate 2023')."""
    label, note = split_note(text)
    trailing = _TRAILING_DATE.fullmatch(label) if note is None else None
    return (trailing["label"].strip(), trailing["note"]) if trailing else (label, note)


def is_date(text: str) -> bool:
    """Say whether a text starts with a date, as the label '2024 estimate' does."""
    return _LONE_DATE.match(text) is not None


def iso_date(note: str) -> str:
    """Return the first date of a note in ISO 8601, as precise as it is printed, or '' if there is none.

    Of a span of years ('2019–2020') it is the first; 'mid-2021' is 2021.
    """
    found = _ANY_DATE.search(note)
    if found is None:
        return ""
    text = found[0].lower()
    if dotted := re.fullmatch(r"(\d{1,2})\.(\d{1,2})\.(\d{4})", text):
        return _iso(int(dotted[3]), int(dotted[2]), int(dotted[1]))
    if hyphenated := re.match(r"(\d{4})-(\d\d)(?:-(\d\d))?(?!\d)", text):
        return _iso(int(hyphenated[1]), int(hyphenated[2]), int(hyphenated[3] or 0))
    year = int(re.findall(_YEAR, text)[0])
    month = next((number for number, name in enumerate(_MONTHS, 1) if re.search(rf"\b{name}", text)), 0)
    day = re.search(r"\b(\d{1,2})(?!\d)", text) if month else None
    return _iso(year, month, int(day[1]) if day else 0)


def _iso(year: int, month: int, day: int) -> str:
    if not 1 <= month <= 12:
        return f"{year:04}"
    try:
        return dt.date(year, month, day).isoformat()
    except ValueError:
        return f"{year:04}-{month:02}"


_SCALES = {
    "thousand": 1_000,
    "lakh": 100_000,
    "million": 1_000_000,
    "mln": 1_000_000,
    "mn": 1_000_000,
    "m": 1_000_000,
    "crore": 10_000_000,
    "billion": 1_000_000_000,
    "bn": 1_000_000_000,
}
_SCALE = rf"(?:{'|'.join(_SCALES)})s?\b"
_NUMBER = re.compile(
    r"(?<![\d.,#])(?:(?P<grouped>\d{1,3}(?P<separator>[,.'’ʼ ])\d{3}(?:(?P=separator)\d{3})*(?!\d)|"
    rf"\d{{1,2}}(?:,\d\d)+,\d{{3}}(?!\d))|(?P<plain>\d+(?:[.,]\d+)?))(?:[\s-]?(?P<scale>{_SCALE}))?",
    re.IGNORECASE,
)
_AMOUNT = rf"\d[\d.,'’ ]*(?:{_SCALE})?"
_RANGE = re.compile(rf"{_AMOUNT}\s*(?:[-‐‑‒–—−~〜～]+|to\b|or\b|\.\.+|…)\s*{_AMOUNT}(?![\d.,]*\s*[%‰])", re.IGNORECASE)
_ANOTHER_QUANTITY = re.compile(
    r"\w|[.,]\d|\s*(?:[%‰/²³°]|per ?cent\b|km|sq\b|per (?:km|sq|mi|hectare|capita)|households|families|dwellings)",
    re.IGNORECASE,
)
_LEADING_DATE = re.compile(
    rf"\W*(?P<note>{_DATED})\s*[:,;]?\s+(?=\D{{0,20}}(?:\d{{1,3}}[,.'’ ]\d|\d{{5}}))", re.IGNORECASE
)


def people(lines: list[str]) -> tuple[int | None, str | None]:
    """Return how many people the lines of a value cell say, and the date or survey that they print beside it.

    The number is the first that is not a date, up to the first parenthesis: what follows there is a rank, a share or
    another figure. It is None where it is missing, a range, an ordinal, a share, a density, or a fraction.
    """
    rows = [(_before_parentheses(text), note) for text, note in map(split_note, lines)]
    numbered = [row for row in rows if re.search(r"\d", row[0])]
    dates = [row for row in numbered if _LONE_DATE.fullmatch(row[0])]
    text, note = next((row for row in numbered if row not in dates), dates[0] if dates else ("", None))
    below = [beside or other for other, beside in rows if (other, beside) in dates or (other, beside) not in numbered]
    leading = _LEADING_DATE.match(text)
    if leading:
        text = text[leading.end() :]
    number = _NUMBER.search(text)
    after = text[number.end() :].strip(" ,;:–—-") if number else ""
    trailing = after if _ANY_DATE.search(after) else None
    notes = (
        note,
        leading and leading["note"],
        trailing,
        *(date for date in below if _NOTED.search(date) and date != text),
    )
    return _count(text, number) if number else None, next(filter(None, notes), None)


def _before_parentheses(text: str) -> str:
    without_leading = re.sub(r"^(?:\([^()]*\)\s*)+", "", text)
    return re.split(r"[(\[]", without_leading, maxsplit=1)[0].strip()


def _count(text: str, found: re.Match[str]) -> int | None:
    another = _RANGE.match(text, found.start()) or _ANOTHER_QUANTITY.match(text, found.end())
    if another or re.search(r"\bbetween\b", text[: found.start()], re.IGNORECASE):
        return None
    scale = _SCALES[found["scale"].lower().removesuffix("s")] if found["scale"] else 1
    if found["grouped"] and not (found["scale"] and re.fullmatch(r"\d+\.\d{3}", found["grouped"])):
        amount = Decimal(re.sub(r"\D", "", found["grouped"])) * scale
    else:  # '12.345 million' has decimals where '12.345' has groups
        amount = Decimal((found["plain"] or found["grouped"]).replace(",", ".")) * scale
    return int(amount) if amount == amount.to_integral_value() and amount <= MOST_PEOPLE else None


_BULLET = re.compile(r"^[\s•·∙‣▪●*–—-]+")


def strip_bullet(text: str) -> tuple[str, bool]:
    """Return a label without its bullet and its colon, and whether it had a bullet ('• Total', '- Tree')."""
    bullet = _BULLET.match(text)
    return text[bullet.end() if bullet else 0 :].strip().removesuffix(":").rstrip(), bullet is not None


_NOT_A_POPULATION = re.compile(
    r"\b(?:rank(?:s|ing|ed)?|densit(?:y|ies)|demonyms?|gentilic|ethnic\w*|religions?|languages?|literacy|ratio|"
    r"growth|change|increase|households?|famil(?:y|ies)|dwellings?|housing|gdp|per capita|hdi|"
    r"median|life expectancy|histor(?:y|ical)|pyramid|cent(?:re|er)s)\b",
    re.IGNORECASE,
)
_POPULATION = re.compile(r"\b(?:population|pop\.|inhabitants)", re.IGNORECASE)
_LONGEST_HEADING = 60
_KINDS = (
    ("other", r"rural|males?|females?|men|women|day-?time|night-?time|foreign\w*|registered|seasonal|peak|remainder"),
    (
        "part",
        r"wards|boroughs|districts|quarters|arrondissements|inner city|inner \w+|city cent(?:re|er)|town cent(?:re|er)|"
        r"downtown|core(?! city)|old (?:city|town)|walled city|historic cent(?:re|er)|municipal(?:ity)? seat",
    ),
    (
        "metropolitan",
        r"metro|metroplex|macro-?metropolis|megalopolis|csa|msa|cma|cbsa|combined statistical area|capital area|"
        r"greater|commuter (?:belt|zone|area)|larger urban zone|"
        r"metropolitan(?! (?:municipality|city|corporation|borough|district|county|commune|council|town|prefecture))",
    ),
    (
        "urban",
        r"urban(?! (?:municipality|commune|okrug|settlement|district|council))|urbani[sz]ed area|agglomeration|"
        r"conurbation|built-?up(?: area)?",
    ),
    ("estimate", r"estimates?|estimated|est|estimation|projections?|projected"),
)
_KIND_PATTERNS = tuple(
    (kind, re.compile(rf"(?<![\w-])(?:{pattern})(?![\w])", re.IGNORECASE)) for kind, pattern in _KINDS
)
_ADMINISTRATIVE_WORDS = re.compile(
    r"(?:(?:and|of|the|total|population|city|town|village|state|municipality|commune|comune|capital|megacity|metropolis|"
    r"union|territory|territorial|designated|special|federal|autonomous|prefecture|province|county|borough|district|"
    r"parish|proper|census|metropolitan|urban|metro|area|region|estimate|agglomeration)\b[\s/,&-]*)+",
    re.IGNORECASE,
)


def is_population(label: str) -> bool:
    """Say whether a label outside a population section, or that of a section itself, announces inhabitants."""
    return _POPULATION.search(label) is not None and _NOT_A_POPULATION.search(label) is None


def is_heading(text: str) -> bool:
    """Say whether the text of a cell of full width is the heading of a population section: 'Population (2020)'."""
    return re.match(r"population\b", text, re.IGNORECASE) is not None and len(text) <= _LONGEST_HEADING


def is_common_label(label: str) -> bool:
    """Say whether a label consists of the words that population sections use: 'City/State', but not 'Website'."""
    return _ADMINISTRATIVE_WORDS.fullmatch(label) is not None


def kind_of(label: str) -> str | None:
    """Return which of ``tables.geo.POPULATION_KINDS`` a label in a population section means, None for no population.

    Whatever is not known as something else is administrative: what a country calls its units is free text ('Capital
    of Bangladesh and megacity', 'Comune', 'Special city').
    """
    if _NOT_A_POPULATION.search(label):
        return None
    return next((kind for kind, pattern in _KIND_PATTERNS if pattern.search(label)), "administrative")


_ANGLE = re.compile(
    r"(?P<sign>[+−–-])?(?P<degrees>\d{1,3}(?:\.\d+)?)\s*[°º˚]\s*"
    r"(?:(?P<minutes>\d{1,2}(?:\.\d+)?)\s*[′'’ʹ´‘]\s*)?"
    r"(?:(?P<seconds>\d{1,2}(?:\.\d+)?)\s*(?:[″\"”ʺ“]|[′'’ʹ´‘]{2})\s*)?"
    r"(?P<hemisphere>[NSEW])?"
)
_GEOHACK = re.compile(r"(?P<numbers>\d+(?:\.\d+)?(?:_\d+(?:\.\d+)?){0,2})_(?P<hemisphere>[NSEW])(?=_|$)")
_DECIMALS = re.compile(r"(?P<latitude>[+−–-]?\d+(?:\.\d+)?)\s*[;,/\s]\s*(?P<longitude>[+−–-]?\d+(?:\.\d+)?)")

Position = tuple[float, float]


def decimal_position(text: str) -> Position | None:
    """Return latitude and longitude of '52.52; 13.405', as the hidden microformat prints them (degrees), or None."""
    found = _DECIMALS.fullmatch(text.strip())
    return (_signed(found["latitude"]), _signed(found["longitude"])) if found else None


def angular_position(text: str) -> Position | None:
    """Return latitude and longitude of '52°31′12″N 13°24′18″E', minutes and seconds being optional, or None.

    Raises ValueError for 60 or more minutes or seconds.
    """
    angles = []
    for found in _ANGLE.finditer(text):
        parts = [float(found[name] or 0) for name in ("degrees", "minutes", "seconds")]
        negative = found["hemisphere"] in ("S", "W") or (found["sign"] or "+") != "+"
        angles.append((found["hemisphere"], _degrees(parts, negative)))
    return _position(angles)


def geohack_position(params: str) -> Position | None:
    """Return latitude and longitude of GeoHack's ``params``, '37_10_41_N_3_36_03_W_region:ES' or '52.52;13.405'.

    None where there is none; raises ValueError for 60 or more minutes or seconds.
    """
    signed = _DECIMALS.fullmatch(params.partition("_")[0])
    if signed:
        return _signed(signed["latitude"]), _signed(signed["longitude"])
    return _position(
        [
            (found["hemisphere"], _degrees([*map(float, found["numbers"].split("_"))], found["hemisphere"] in "SW"))
            for found in _GEOHACK.finditer(params)
        ]
    )


def _position(angles: list[tuple[str | None, float]]) -> Position | None:
    """Return the first pair; without a hemisphere, latitude comes first."""
    for (first, latitude), (second, longitude) in itertools.pairwise(angles):
        if first in ("N", "S", None) and second in ("E", "W", None):
            return latitude, longitude
    return None


def _degrees(parts: list[float], negative: bool) -> float:
    if any(part >= 60 for part in parts[1:]):
        raise ValueError(f"60 or more minutes or seconds of arc: {parts}")
    degrees = sum(part / (1, 60, 3600)[power] for power, part in enumerate(parts))
    return round(-degrees if negative else degrees, 6)


def _signed(number: str) -> float:
    return float(re.sub("^[−–]", "-", number))
