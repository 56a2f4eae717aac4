import pytest

from gans_pipeline.sources import wikipedia_grammar as grammar
from gans_pipeline.tables.geo import POPULATION_KINDS


@pytest.mark.parametrize(
    ("printed", "people"),
    [
        ("3,596,999", 3596999),
        ("9,002,488[1]", 9002488),
        ("2,746,388[citation needed]", 2746388),
        ("2\u00a0327\u00a0557", 2327557),
        ("2\u2009327\u2009557", 2327557),
        ("2\u202f327\u202f557", 2327557),
        ("123 456", 123456),
        ("8'804'190", 8804190),
        ("8’804’190", 8804190),
        ("3.596.999", 3596999),
        ("232.208", 232208),
        ("1,67,87,941", 16787941),
        ("12,34,567", 1234567),
        ("950", 950),
        ("0", 0),
        ("20 million", 20_000_000),
        ("c. 2.1 million", 2_100_000),
        ("ca. 2,1 million", 2_100_000),
        ("12.345 million", 12_345_000),
        ("1,412 million", 1_412_000_000),
        ("2.1M", 2_100_000),
        ("1.5 crore", 15_000_000),
        ("5 lakh", 500_000),
        ("≈ 2,100,000", 2_100_000),
        ("~2,100,000", 2_100_000),
        (">2,100,000", 2_100_000),
        ("2,100,000+", 2_100_000),
        ("2,100,000 ± 5,000", 2_100_000),
        ("16,787,941 inhabitants", 16787941),
        ("16,349,831 2nd", 16349831),
        ("1,463,723 −0.8%", 1463723),
    ],
)
def test_a_number_is_read_in_every_way_of_grouping_and_scaling(printed: str, people: int) -> None:
    assert grammar.people([grammar.fold(printed)]) == (people, None)


@pytest.mark.parametrize(
    "printed",
    [
        "—", "–", "", "n/a", "TBD", "unknown", "1,200,000–1,500,000", "12,029 - 7,664", "1,200,000 to 1,500,000",
        "1.2–1.5 million", "1.2 million – 1.5 million", "between 1 and 2 million", "1,200,000 or 1,500,000", "1st",
        "#1", "27th; Density: 4th", "Population: 27th; Density: 4th", "98.6%", "12 %", "4,126/km2 (10,690/sq mi)",
        "4,126 per km2", "24,000 households", "500k", "1,234.5", "2.1", "99,999,999,999", "(2,000)",
    ],
)  # fmt: skip
def test_what_is_not_one_number_of_people_is_missing(printed: str) -> None:
    people, _ = grammar.people([printed])
    assert people is None


@pytest.mark.parametrize(
    ("printed", "people"),
    [
        ("2,327,557 (3rd)", 2327557),
        ("12,506,468 (+8.7%)", 12506468),
        ("2,327,557, 3rd", 2327557),
        ("12,237,376 (US: 2nd)", 12237376),
        ("1,234,567 (1,111,111 in 2010)", 1234567),
    ],
)
def test_a_ranked_figure_keeps_its_digits(printed: str, people: int) -> None:
    assert grammar.people([printed]) == (people, None)


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (["8,967,665 (2011 per Prefectural Government)"], (8967665, "2011 per Prefectural Government")),
        (["21,000,000 (estimated)"], (21000000, "estimated")),
        (["8,799,800 (2021 census) (1st)"], (8799800, "2021 census")),
        (["2.1 million (2020)"], (2100000, "2020")),
        (["(2021) 8,799,800"], (8799800, "2021")),
        (["2021: 8,799,800"], (8799800, "2021")),
        (["1 January 2021: 8,799,800"], (8799800, "1 January 2021")),
        (["8,799,800, 2021 census"], (8799800, "2021 census")),
        (["45,001", "(2020)"], (45001, "2020")),
        (["45,001", "2020 census"], (45001, "2020 census")),
        (["2020", "45,001"], (45001, "2020")),
        (["8,804,190", "8,258,035 (2023)"], (8804190, None)),
        (["2015"], (2015, None)),
        (["—", "(2020)"], (None, "2020")),
    ],
)
def test_a_date_beside_a_number_is_its_note(lines: list[str], expected: tuple[int | None, str | None]) -> None:
    assert grammar.people(lines) == expected


@pytest.mark.parametrize(
    ("printed", "label", "note", "iso"),
    [
        ("Population (2022 census)", "Population", "2022 census", "2022"),
        ("Population (2018)", "Population", "2018", "2018"),
        ("Population (2018)2", "Population", "2018", "2018"),
        ("Population (October 1, 2019)", "Population", "October 1, 2019", "2019-10-01"),
        ("Population (1 October 2015)", "Population", "1 October 2015", "2015-10-01"),
        ("Population (30 September 2016)", "Population", "30 September 2016", "2016-09-30"),
        ("Population (1st January 2020)", "Population", "1st January 2020", "2020-01-01"),
        ("Population (2023-12-31)", "Population", "2023-12-31", "2023-12-31"),
        ("Population (31.12.2022)", "Population", "31.12.2022", "2022-12-31"),
        ("Population (31/12/2022)", "Population", "31/12/2022", "2022"),
        ("Estimate (Dec 2023)", "Estimate", "Dec 2023", "2023-12"),
        ("Estimate (Sept. 2023)", "Estimate", "Sept. 2023", "2023-09"),
        ("Estimate (2023-12)", "Estimate", "2023-12", "2023-12"),
        ("Estimate (mid-2021)", "Estimate", "mid-2021", "2021"),
        ("Population (2020 est.)", "Population", "2020 est.", "2020"),
        ("Population (2020) (est.)", "Population", "2020", "2020"),
        ("Population (2020 census (preliminary))", "Population", "2020 census (preliminary)", "2020"),
        ("Estimate (2018 by LASG)", "Estimate", "2018 by LASG", "2018"),
        ("Population (as of 2021)", "Population", "as of 2021", "2021"),
        ("Population as of 2021", "Population", "as of 2021", "2021"),
        ("Population (2019–2020)", "Population", "2019–2020", "2019"),
        ("Population (2019–20)", "Population", "2019–20", "2019"),
        ("Population (31 February 2020)", "Population", "31 February 2020", "2020-02"),
        ("Estimate 2023", "Estimate", "2023", "2023"),
        ("Metro (2018", "Metro", "2018", "2018"),
        ("Population", "Population", None, ""),
        ("Population (estimated)", "Population", "estimated", ""),
        ("Macrometropolis (Extended Metro)", "Macrometropolis (Extended Metro)", None, ""),
        (
            "Metro (part of the Capital Region (India) (2018)",
            "Metro (part of the Capital Region (India)",
            "2018",
            "2018",
        ),
        ("23 Wards", "23 Wards", None, ""),
    ],
)
def test_a_note_is_split_from_its_label_and_dated_as_precisely_as_printed(
    printed: str, label: str, note: str | None, iso: str
) -> None:
    assert grammar.split_label(printed) == (label, note)
    assert grammar.iso_date(note or "") == iso


KINDS = {
    "administrative": [
        "City", "Total", "City/State", "Municipality", "Capital city", "Capital and megacity", "Metropolis",
        "Capital of Bangladesh and megacity", "Union territory", "Megacity", "Megacity/Metropolitan municipality",
        "Designated city", "Territorial", "Commune", "Comune", "Special city", "Federal city", "City-province",
        "Metropolitan city", "Metropolitan borough", "Capital and highly-urbanized city", "Urban municipality",
        "Prefecture-level and sub-provincial city", "City proper", "Core city", "Population",
    ],
    "estimate": ["Estimate", "Estimated population", "2024 estimate", "Projection"],
    "urban": ["Urban", "Urban area", "Urban agglomeration", "Built-up area", "Conurbation", "Urbanized area"],
    "metropolitan": ["Metro", "Metro area", "Metropolitan", "Macrometropolis", "Greater London", "Capital Area"],
    "part": ["23 Wards", "Special wards of Tokyo", "Boroughs", "City centre", "Core districts", "Inner city"],
    "other": ["Rural", "Males", "Daytime"],
    None: ["Density", "Urban density", "Rank", "Ranks in China", "Demonym", "Demonym(s)", "Ethnicities", "Households"],
}  # fmt: skip


@pytest.mark.parametrize(("kind", "label"), [(kind, label) for kind, labels in KINDS.items() for label in labels])
def test_a_label_has_its_kind(kind: str | None, label: str) -> None:
    assert grammar.kind_of(label) == kind
    assert kind is None or kind in POPULATION_KINDS


@pytest.mark.parametrize(
    ("printed", "position"),
    [
        ("52°31′12″N 13°24′18″E", (52.52, 13.405)),
        ("35°11′N 136°54′E", (35.183333, 136.9)),
        ("23°33'S 46°38'W", (-23.55, -46.633333)),
        ("6.455°N 3.384°E", (6.455, 3.384)),
        ("52°31'12.6\"N, 13°24'18''E", (52.520167, 13.405)),
        ("40° 42′ 46″ N 74° 0′ 22″ W", (40.712778, -74.006111)),
        ("51°30.5′N 0°7.65′W", (51.508333, -0.1275)),
        ("−33.87° 151.21°", (-33.87, 151.21)),
        ("52°31′12″N", None),
        ("north of the river", None),
    ],
)
def test_angles_are_read_with_optional_minutes_and_seconds(printed: str, position: tuple[float, float] | None) -> None:
    assert grammar.angular_position(printed) == position


def test_sixty_minutes_of_arc_are_an_error() -> None:
    with pytest.raises(ValueError, match="60 or more minutes"):
        grammar.angular_position("52°75′N 13°24′E")


@pytest.mark.parametrize(
    ("params", "position"),
    [
        ("37_10_41_N_3_36_03_W_region:ES_type:city", (37.178056, -3.600833)),
        ("35_11_N_136_54_E_region:JP-23", (35.183333, 136.9)),
        ("52.52_N_13.405_E_", (52.52, 13.405)),
        ("-33.87;151.21_region:AU", (-33.87, 151.21)),
        ("x", None),
    ],
)
def test_geohack_parameters_give_a_position(params: str, position: tuple[float, float] | None) -> None:
    assert grammar.geohack_position(params) == position


@pytest.mark.parametrize(
    ("text", "position"),
    [("52.52000; 13.40500", (52.52, 13.405)), ("-23.55; −46.63", (-23.55, -46.63)), ("52,5; 13", None), ("", None)],
)
def test_hidden_decimals_give_a_position(text: str, position: tuple[float, float] | None) -> None:
    assert grammar.decimal_position(text) == position
