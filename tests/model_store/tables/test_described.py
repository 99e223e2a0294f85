"""Columns of items and users in various notations: their features, and their lines in the data summary."""

import datetime as dt
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from model_store.bundle import Attributes
from model_store.data.items import catalogue
from model_store.data.sources import load
from model_store.data.users import user_attributes
from model_store.tables.table import Table

N = 30
IDS = [f"i{row}" for row in range(N)]
EVENTS = {
    "user_id": [f"u{row // 3}" for row in range(3 * N)],
    "item_id": [f"i{row % N}" for row in range(3 * N)],
    "value": [1.0 + row % 5 for row in range(3 * N)],
}
GENRES = [["Comedy", "Drama"], ["Drama", "Horror"], ["Action"], ["Horror", "Comedy"], ["Action", "Drama"], ["Drama"]]
TAGS = ["Action", "Comedy", "Drama", "Horror"]


def described(cells: Any, name: str = "x", *, typed: bool = False) -> tuple[list[str], str, list[str]]:
    """Feature names of a column of items, its line in the data summary, and the warnings."""
    frame = pl.DataFrame({"item_id": IDS, name: cells})
    if typed:
        frame = frame.with_columns(n=pl.lit(1))
    encoded = catalogue(Table("items.csv", frame), pl.Series(IDS))
    names = [feature for feature in encoded.features.names if not feature.startswith("n=")]
    return names, next(fact.became for fact in encoded.columns if fact.name == name), encoded.warnings


def cycled(cells: list[Any]) -> list[Any]:
    return [cells[row % len(cells)] for row in range(N)]


PRICES = [f"{row + 0.5}" for row in range(N)]


@pytest.mark.parametrize(
    "word",
    ["", "N/A", "NA", "n/a", "null", "NULL", "None", "nan", "NaN", "-", "--", "?", "<NA>", "#N/A", " - ", "none"],
)
def test_one_missing_price_costs_one_cell(word):
    names, became, warnings = described([word, *PRICES[1:]], "price")
    assert len(names) == 10
    assert (became, warnings) == ("10 bins, 1 missing", [])


def test_a_word_among_numbers_is_named():
    names, became, _ = described(["unknown", "TBD", *PRICES[2:]], "price")
    assert (len(names), became) == (10, "10 bins, 2 not a number ('unknown', 'TBD')")


@pytest.mark.parametrize(
    ("written", "first"),
    [
        (lambda row: f"${1000 + row:,}.50", "x=1000.5..1002.5"),
        (lambda row: f"{row},50 €", "x=0.5..2.5"),
        (lambda row: f"{1000 + row:,}.5".replace(",", " ").replace(".", ","), "x=1000.5..1002.5"),
        (lambda row: f"{row} %", "x=0..2"),
        (lambda row: f"1.{100 + row}" if row else "0,5", "x=0.5..1102"),
    ],
)
def test_amounts_are_numbers(written, first):
    names, became, warnings = described([written(row) for row in range(N)])
    assert (len(names), warnings) == (10, [])
    assert became.startswith("10 bins")
    assert first in names


def test_levels_with_an_open_end_stay_levels():
    assert described(cycled(["0", "1", "2", "3+"]))[0] == ["x=0", "x=1", "x=2", "x=3+"]
    assert described(cycled(["18-24", "25-34", "65+"]))[0] == ["x=18-24", "x=25-34", "x=65+"]


def test_one_word_among_numbers_costs_its_cells_only():
    names, became, warnings = described(["Unknown" if row % 5 < 2 else f"{row}" for row in range(N)], "episodes")
    assert (len(names), became, warnings) == (10, "10 bins, 12 not a number ('Unknown')", [])


@pytest.mark.parametrize("form", ["{} kg", "{}kg", "{}.5 min", "{}K"])
def test_numbers_with_units_are_a_warning(form):
    (warning,) = described([form.format(row + 1) for row in range(N)], "x")[2]
    assert "its cells are numbers with units" in warning
    assert "write plain numbers in one unit" in warning
    assert "units" not in "".join(described([f"{row}{chr(97 + row % 26)}" for row in range(N)], "x")[2])


def test_half_numbers_are_text_with_a_warning():
    cells = [f"{row // 2 * 2}.5" if row % 3 else f"w{row // 9}" for row in range(N)]
    _, _, (warning,) = described(cells)
    assert "only 20 of 30 cells are numbers (others: 'w0', 'w1', …), so it is read as text" in warning


WRITTEN = {
    "bar": "|".join,
    "comma": ", ".join,
    "bare comma": ",".join,
    "semicolon": "; ".join,
    "python": repr,
    "json": json.dumps,
    "bare list": lambda tags: f"[{', '.join(tags)}]",
    "numpy": lambda tags: str(np.array(tags)),
    "postgres": lambda tags: "{" + ",".join(tags) + "}",
    "records": lambda tags: repr([{"id": len(tag), "name": tag} for tag in tags]),
    "lists of lists": lambda tags: repr([tags[:1], tags[1:]]),
    "lists of lists in JSON": lambda tags: json.dumps([tags]),
    "tuple": lambda tags: str(tuple(tags)),
    "set": lambda tags: str(set(tags)),
    "frozen set": lambda tags: str(frozenset(tags)),
    "blank": " ".join,
    "slash": "/".join,
    "path": " > ".join,
}


@pytest.mark.parametrize("notation", WRITTEN)
@pytest.mark.parametrize("typed", [False, True])
def test_a_list_is_its_tags_in_any_notation(notation, typed):
    cells = [*(WRITTEN[notation](tags) for tags in cycled(GENRES)[1:]), ""]
    names, became, warnings = described(cells, "genre", typed=typed)
    assert names == [f"genre={tag}" for tag in TAGS]
    assert became.startswith("4 tags ")
    assert became.endswith(", 1 missing: Action, Comedy, Drama, Horror")
    assert warnings == []


def test_the_summary_names_the_separator_of_tags():
    marks = [described([WRITTEN[notation](tags) for tags in cycled(GENRES)])[1].split(":")[0] for notation in WRITTEN]
    assert marks == [
        *("4 tags by |", "4 tags by comma", "4 tags by comma", "4 tags by semicolon"),
        *["4 tags in lists"] * 11,
        *("4 tags by blank", "4 tags by /", "4 tags by >"),
    ]


@pytest.mark.parametrize(
    "texts",
    [
        ["Boston, MA", "Austin, TX", "Dallas, TX", "Salem, MA", "Lowell, MA"],
        ["Smith, John", "Doe, Jane", "Miller, John", "Brown, Jane", "Smith, Jane"],
        ["dark blue", "light blue", "dark red", "light red", "dark green"],
        ["New Balance", "Under Armour", "Nike", "North Face", "Old Navy"],
        ["Rock & Roll, baby", "Hello, Dolly", "Guns, Germs, Steel"],
        ["ICE - CRUSHED/CUBED", "BREAD:ITALIAN/FRENCH", "SW GDS: SW ROLLS/DAN"],
        ["1/2", "1/3", "2/3", "3/1", "2/1"],
    ],
)
def test_text_whose_parts_keep_their_positions_is_not_split(texts):
    assert described(cycled(texts))[0] == sorted(f"x={text}" for text in texts)


@pytest.mark.parametrize("words", [("True", "False"), ("true", "false"), ("TRUE", "FALSE"), ("yes", "no"), ("Y", "N")])
def test_booleans_of_csv_are_booleans(words):
    names, became, _ = described(cycled([*words, ""]), "new")
    assert names == ["new=false", "new=true"]
    assert became == "2 tags, 10 missing: false, true"
    assert described(cycled([True, False, None]), "new", typed=True)[0] == names


DAYS = [dt.date(1960 + row, 1 + row % 12, 13 + row % 15) for row in range(N)]


@pytest.mark.parametrize(
    "pattern",
    ["%Y-%m-%d", "%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%d %H:%M:%S", "%d-%b-%Y", "%d %B %Y", "%b %d, %Y", "%d/%m/%Y", "%m/%d/%Y",
     "%d.%m.%Y", "%Y/%m/%d"],
)  # fmt: skip
def test_dates_of_csv_are_the_dates_of_parquet(pattern):
    midnights = [dt.datetime.combine(day, dt.time()) for day in DAYS]
    names, became, warnings = described([day.strftime(pattern) for day in midnights], "released")
    assert names == described(DAYS, "released", typed=True)[0]
    assert names[0] == "released=1960..1962"
    assert (became, warnings) == ("10 bins of years", [])


def test_dates_within_a_year_are_distinguished():
    days = [f"2023-{1 + row // 3:02}-01" for row in range(N)]
    names, became, _ = described(days, "added")
    assert (len(names), became) == (10, "10 bins of years")
    assert names[0] == "added=2023..2023"


def test_dates_with_ambiguous_day_and_month_are_read_by_year():
    names, became, _ = described([f"01/02/{1990 + row}" for row in range(N)], "released")
    assert names[0] == "released=1990..1992"
    assert "the order of day and month is ambiguous" in became


@pytest.mark.parametrize("cells", [[f"{2000 + row % 20:05}" for row in range(N)], cycled(["007", "7", "0815"])])
def test_codes_with_leading_zeros_are_tags(cells):
    shared = {f"x={cell}" for cell in cells if cells.count(cell) > 1}
    assert set(described(cells)[0]) == shared


@pytest.mark.parametrize(
    "name",
    [
        "brand_id",
        "brandId",
        "brand code",
        "BRAND_ID",
        "zip",
        "sku",
        "store_no",
        "category",
        "Product Type",
        "department",
    ],
)
@pytest.mark.parametrize("typed", [False, True])
def test_whole_numbers_are_tags_if_the_column_is_named_as_a_code(name, typed):
    codes = [101 + row % 15 for row in range(N)]
    names, became, _ = described(codes if typed else list(map(str, codes)), name, typed=typed)
    assert names == [f"{name}={code}" for code in range(101, 116)]
    assert "read as codes because of its name" in became


@pytest.mark.parametrize(
    "name", ["year", "piano", "period", "runtime", "width", "classics", "capacity", "subtype_score"]
)
def test_other_whole_numbers_are_quantities(name):
    assert len(described([str(1990 + row) for row in range(N)], name)[0]) == 10


EMBEDDINGS = np.random.default_rng(0).normal(size=(N, 4)).round(3)


@pytest.mark.parametrize(
    "written",
    [
        lambda row: str(row.tolist()),
        str,
        lambda row: str(row).replace(" ", "\n ", 1),
        lambda row: json.dumps(row.tolist()),
        lambda row: " ".join(map(str, row)),
        lambda row: ",".join(map(str, row)),
        lambda row: "|".join(map(str, row)),
        lambda row: "{" + ",".join(map(str, row)) + "}",
        repr,
        lambda row: f"tensor({row.tolist()}, device='cpu')",
    ],
)
def test_embeddings_of_csv_are_those_of_parquet(written):
    names, became, warnings = described([written(row) for row in EMBEDDINGS], "image")
    assert names == [f"image[{index}]" for index in range(4)]
    assert (became, warnings) == ("4 dimensions", [])


def test_whole_numbers_in_lists_are_codes_unless_they_repeat_in_one():
    assert described(cycled([[1, 2], [2, 3]]), typed=True)[0] == ["x=1", "x=2", "x=3"]
    assert described(cycled(["[1, 2]", "[2, 3]"]))[0] == ["x=1", "x=2", "x=3"]
    assert described(cycled(["1,2,5", "2,3", "3"]))[0] == ["x=1", "x=2", "x=3", "x=5"]
    for cells, typed in ((cycled([[1, 1], [2, 3]]), True), (cycled(["[1, 1]", "[2, 3]"]), False)):
        assert described(cells, typed=typed)[0] == ["x[0]", "x[1]"]


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ([None] * N, "not used: all 30 cells are missing"),
        ([f"http://x/{row}.jpg" for row in range(N)], "web addresses: 'http://x/0.jpg'"),
        ([f"id{row}" for row in range(N)], "not used: none of its 30 cells contains a value that two items share"),
        ([f"id{max(row, 1)}" for row in range(N)], "only 2 of its 30 cells contain a value that two items share"),
        ([[0.5] * (1 + row % 5) for row in range(N)], "not used: its lists have 1 to 5 numbers"),
        ([[[1.0]]] * N, "not used: its type is List(List(Float64))"),
        (cycled(["{'Toys': 21}", "{'Games': 3, 'Toys': 7}"]), "not used: its cells are records without a name"),
        ([b"\x00\xff"] * N, "not used: its type is Binary"),
        ([float("nan"), float("inf"), float("-inf")] * 10, "not used: none of its 30 cells is a finite number"),
        ([[float("nan"), 1.0]] * N, "30 numbers not finite"),
        ([float("inf"), *map(float, range(N - 1))], "1 infinite"),
        ([[0.5, 1.0]] * 29 + [[1.0]], "1 of another length"),
        ([f"[0.{row} 0.1 ... 0.2 0.3]" for row in range(N)], "not used: its vectors are abbreviated"),
        ([f"{'a b c d e f g'} {row}" for row in range(N)], "occur in too few or too many cells"),
    ],
)
def test_unused_and_partly_used_columns_give_warnings(cells, message):
    names, became, warnings = described(cells, "column", typed=True)
    assert message in became or message in warnings[0]
    assert len(warnings) == 1
    assert "items.csv: column 'column'" in warnings[0]
    assert became.startswith("not used: ") == (not names)


@pytest.mark.parametrize(
    ("cells", "names", "became"),
    [
        (cycled([Decimal("1.50"), Decimal("2.25")]), ["x=1.5..1.5", "x=2.25..2.25"], "2 bins"),
        (cycled([dt.timedelta(minutes=1), dt.timedelta(minutes=2)]), ["x=120..120", "x=60..60"], "2 bins, in seconds"),
        (cycled([dt.time(0, 1)]), ["x=60..60"], "1 bin, the same in every row, in seconds of the day"),
        (cycled([[["a"], ["b"]], [["b"]]]), ["x=a", "x=b"], "2 tags: a, b"),
        (cycled([[{"name": "a"}], [{"name": "a"}, {"name": "b"}]]), ["x=a", "x=b"], "2 tags, from field name: a, b"),
        (cycled([[True, False], [False, True]]), ["x[0]", "x[1]"], "2 dimensions"),
        (cycled(["a", None]), ["x=a"], "1 tag, 15 missing: a"),
    ],
)
def test_types_of_parquet(cells, names, became):
    assert described(cells, typed=True) == (names, became, [])


def test_fields_of_a_struct_are_columns():
    items = pl.DataFrame({"item_id": IDS, "meta": cycled([{"size": 1, "kind": "a"}, {"size": 2, "kind": "b"}])})
    encoded = catalogue(Table("items.parquet", items), pl.Series(IDS))
    assert encoded.features.names == ["meta.kind=a", "meta.kind=b", "meta.size=1..1", "meta.size=2..2"]
    assert [fact.name for fact in encoded.columns] == ["meta.size", "meta.kind"]


def test_the_index_that_pandas_writes_is_not_a_feature():
    for name, start in (("", 0), ("Unnamed: 0", 0), ("index", 1)):
        names, became, warnings = described([str(row + start) for row in range(N)], name)
        assert (names, became) == ([], "not used: it contains row numbers")
        assert len(warnings) == 1
    assert len(described([str(row) for row in range(N)], "price")[0]) == 10


def test_names_of_products_become_words():
    colours, things = ("red", "blue", "green"), ("shirt", "shoe", "hat", "bag", "belt")
    names, became, _ = described([f"{colours[row % 3]} {things[row % 5]} {row}x" for row in range(N)], "label")
    assert {"label~shirt", "label~belt"} <= set(names)
    assert became.endswith(" words")


def test_whole_numbers_in_text_of_a_typed_table_are_names():
    assert described(cycled(["2", "1"]), "size", typed=True)[0] == ["size=1", "size=2"]


@pytest.mark.parametrize(
    ("titles", "first", "message"),
    [
        ([["A", "B"]] * N, "A, B", "titles of type List(String), converted to text"),
        ([1984.0] * N, "1984", "titles of type Float64, converted to text"),
        ([True] * N, "true", "titles of type Boolean, converted to text"),
        ([dt.datetime(2024, 1, 2)] * N, "2024-01-02", "titles of type Datetime"),  # noqa: DTZ001 - as in files
        (["a\x00b\n\u202ec"] * N, "a b c", ""),
        (["NaN", *["T"] * 29], "", "1 title read as missing"),
        ([None] * N, "", "all 30 titles are missing"),
        ([{"en": "A"}] * N, "", "column 'title' is Struct({'en': String}), expected text; no item has a title"),
        ([[{"en": "A"}]] * N, "", "expected text; no item has a title"),
        ([b"A"] * N, "", "column 'title' is Binary, expected text"),
    ],
)
def test_titles_of_any_type_become_text_on_one_line(titles, first, message):
    encoded = catalogue(Table("items.csv", pl.DataFrame({"item_id": IDS, "title": titles})), pl.Series(IDS))
    assert encoded.titles[0] == first
    assert message in " ".join([*map(str, encoded.notes), *encoded.warnings])


def test_a_name_that_may_be_the_title_is_proposed():
    encoded = catalogue(Table("items.csv", pl.DataFrame({"item_id": IDS, "Name": IDS})), pl.Series(IDS))
    assert any("--columns title=Name" in note.reason for note in encoded.notes)


def test_a_file_without_rows_is_a_warning():
    encoded = catalogue(Table("items.csv", pl.DataFrame({"item_id": IDS, "genre": IDS})[:0]), pl.Series(IDS))
    assert encoded.titles.to_list() == [""] * N
    assert encoded.warnings == ["items.csv: it has no usable rows; no item has a title or features"]


words = st.text(st.characters(categories=["L", "N"], max_codepoint=0x24F), min_size=1, max_size=6)
cells = {
    "number": st.none() | st.floats(-1e6, 1e6).map(lambda number: round(number, 3)),
    "flag": st.none() | st.booleans(),
    "day": st.none() | st.dates(dt.date(1900, 1, 1), dt.date(2100, 1, 1)),
    "vector": st.none() | st.lists(st.floats(-9, 9, width=16), min_size=3, max_size=3),
    "tags": st.none() | st.lists(st.sampled_from(["Action", "Sci-Fi", "Children's", "Film-Noir, old"]), max_size=4),
    "level": st.none() | st.sampled_from(["low", "high", "3+"]),
}
TYPES = {
    "number": pl.Float64,
    "flag": pl.Boolean,
    "day": pl.Date,
    "vector": pl.List(pl.Float64),
    "tags": pl.List(pl.String),
    "level": pl.String,
}


def as_csv(value: Any) -> str:
    """A value as Python's ``csv`` writes it; a missing one is empty."""
    return "" if value is None else str(value)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.fixed_dictionaries(cells), min_size=1, max_size=40))
def test_csv_and_parquet_of_one_table_have_the_same_features(rows):
    ids = [f"i{row:03}" for row in range(len(rows))]
    typed = pl.DataFrame(rows, schema=TYPES).with_columns(item_id=pl.Series(ids))
    text = {name: [as_csv(row[name]) for row in rows] for name in TYPES} | {"item_id": ids}
    of_parquet, of_csv = (catalogue(Table("items", pl.DataFrame(table)), pl.Series(ids)) for table in (typed, text))
    assert of_csv.features.names == of_parquet.features.names
    np.testing.assert_array_equal(of_csv.features.indices, of_parquet.features.indices)
    np.testing.assert_allclose(of_csv.features.weights, of_parquet.features.weights, rtol=1e-6)


@settings(deadline=None, max_examples=300)
@given(
    st.lists(
        st.text(max_size=12) | words | st.sampled_from(["[", "['a'", "1,2", "0,5", "01/13/2020"]),
        min_size=1,
        max_size=30,
    )
)
def test_any_column_of_text_becomes_features_or_a_warning(texts):
    ids = [f"i{row:03}" for row in range(len(texts))]
    encoded = catalogue(Table("items", pl.DataFrame({"item_id": ids, "x": texts})), pl.Series(ids))
    (fact,) = encoded.columns
    assert bool(encoded.features.names) != fact.became.startswith("not used: ")
    assert encoded.warnings or encoded.features.names


USER_CELLS = {
    "flag": st.sampled_from(["True", "False", ""]),
    "age": st.integers(18, 25).map(str) | st.just("N/A"),
    "zip": st.sampled_from(["02139", "02140", "2139"]),
    "likes": st.lists(st.sampled_from(["jazz", "rock", "folk"]), min_size=1, max_size=3, unique=True).map(", ".join),
    "born": st.dates(dt.date(1960, 1, 1), dt.date(2000, 1, 1)).map(str),
    "plan": st.sampled_from(["Free", "Pro", "None"]),
}


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.fixed_dictionaries(USER_CELLS), min_size=20, max_size=60))
def test_users_from_csv_are_encoded_as_the_service_encodes_their_text(rows):
    ids = [f"u{user:03}" for user in range(len(rows))]
    learned = user_attributes(
        Table("users.csv", pl.DataFrame(rows).with_columns(user_id=pl.Series(ids))), pl.Series(ids)
    )
    assert learned.attributes is not None
    served = Attributes(learned.attributes.names)
    ids_of, weights_of = learned.attributes.padded(np.arange(len(rows)))
    for user, row in enumerate(rows):
        encoded = served.encode(row)
        size = int((weights_of[user] > 0).sum())
        np.testing.assert_array_equal(encoded.ids[encoded.weights > 0], ids_of[user, :size])


TEXTS = [
    "a",
    "b",
    "a|b",
    "a, b",
    "b, a",
    "a; b",
    "a/b",
    "a > b",
    "b a",
    "['a']",
    "['a', 'b']",
    "{a,b}",
    "(a, b)",
    "N/A",
]
NUMBERS = [
    "1",
    "0",
    "2.5",
    "0,5",
    "1,234",
    "$5",
    "007",
    "inf",
    "True",
    "no",
    "2020-01-01",
    "0001-01-01",
    "13/02/2020",
    "",
]
NOTATIONS = [*TEXTS, *NUMBERS, "None", "9" * 50]
COLUMNS = st.lists(st.sampled_from(NOTATIONS), min_size=1, max_size=6).flatmap(
    lambda pool: st.lists(st.sampled_from(pool), min_size=10, max_size=40)
)


@settings(deadline=None, max_examples=150)
@given(COLUMNS)
@example(["a > b", "b", "a/b", "a > b"] * 10)
@example(["0001-01-01"] * 10)
def test_text_of_any_column_is_encoded_as_the_service_encodes_it(cells_of_users):
    ids = [f"u{user:03}" for user in range(len(cells_of_users))]
    frame = pl.DataFrame({"user_id": ids, "x": cells_of_users})
    attributes = user_attributes(Table("users.csv", frame), pl.Series(ids)).attributes
    if attributes is None:
        return
    served = Attributes(attributes.names)
    ids_of, weights_of = attributes.padded(np.arange(len(ids)))
    for user, cell in enumerate(cells_of_users):
        encoded = served.encode({"x": cell})
        size = int((weights_of[user] > 0).sum())
        assert encoded.ids[encoded.weights > 0].tolist() == ids_of[user, :size].tolist(), cell


def test_users_from_csv_are_encoded_as_those_from_json(write_source):
    n_users = 40
    users = {
        "user_id": [f"u{user}" for user in range(n_users)],
        "member": ["True", "False"] * 20,
        "zip": ["02139", "02140"] * 20,
        "likes": ["jazz, rock", "rock"] * 20,
        "age": ["25", "30"] * 20,
    }
    events = {
        "user_id": [f"u{user}" for user in range(n_users) for _ in range(2)],
        "item_id": ["a", "b"] * n_users,
        "value": [1.0, 2.0] * n_users,
    }
    source = write_source(events, {"item_id": ["a", "b"], "title": ["A", "B"]}, ".csv", users)
    dataset = load(source).dataset
    attributes = Attributes(dataset.attribute_names)
    from_json = attributes.encode({"member": True, "zip": "02139", "likes": ["jazz", "rock"], "age": 25})
    from_text = attributes.encode({"member": "True", "zip": "02139", "likes": "jazz, rock", "age": "25"})
    assert from_json.ids.tolist() == from_text.ids.tolist()
    assert len(from_json.ids) == 5
    assert attributes.unknown({"zip": 2139}) == [("zip", "2139")]
    assert Path(source, "users.csv").exists()
