"""Data Processing: statistics, data sets, and the task."""

import csv
import json
import statistics
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.adapters.builtin_tasks.context import RecordedContext
from workbell.adapters.builtin_tasks import data_processing as data
from workbell.adapters.builtin_tasks import datasets
from workbell.adapters.builtin_tasks.allowed_folders import Folders
from workbell.adapters.builtin_tasks.column_statistics import (
    MAX_DISTINCT,
    ColumnGroups,
    NumericColumn,
    TextColumn,
    parse_number,
)
from workbell.adapters.builtin_tasks.data_processing import DataProcessing, DataProcessor, Operation
from workbell.adapters.serialization.serializer import JsonSerializer
from workbell.domain.errors import Invalid, NotFound
from workbell.domain.identity.actor import SYSTEM
from workbell.domain.jobs.task import Cancelled

pytestmark = pytest.mark.unit

MEASURES = st.floats(-1e9, 1e9).map(lambda value: round(value, 6))


def processed(
    folder: Path, parameters: DataProcessing, context: RecordedContext | None = None
) -> dict[str, Any]:
    context = context or RecordedContext()
    result = DataProcessor(Folders("INPUT_DIRS", (folder,))).run(context, parameters)
    assert JsonSerializer().unstructure(result) == result
    assert (
        json.loads(context.files["statistics.json"])["processed_records"]
        == (result["processed_records"])
    )
    return result


def source(folder: Path, name: str, text: str | bytes) -> DataProcessing:
    (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return DataProcessing(source=name, processing_type="complex")


@settings(deadline=None)
@given(st.lists(st.lists(MEASURES, max_size=30), max_size=5))
def test_statistics_equal_those_of_the_standard_library(batches: list[list[float]]) -> None:
    numbers = NumericColumn()
    for batch in batches:
        numbers.add([*batch, None, ""])
    every = [value for batch in batches for value in batch]
    figures = numbers.complex()

    assert figures["count"] == len(every)
    assert figures["missing"] == 2 * len(batches)
    if not every:
        assert "mean" not in figures
        return
    assert figures["sum"] == pytest.approx(sum(every), rel=1e-9, abs=1e-3)
    assert (figures["min"], figures["max"]) == (min(every), max(every))
    assert figures["mean"] == pytest.approx(statistics.fmean(every), rel=1e-9, abs=1e-4)
    assert figures["median"] == pytest.approx(statistics.median(every), rel=1e-9, abs=1e-4)
    if len(every) > 1:
        deviation = statistics.stdev(every)
        assert figures["std_dev"] == pytest.approx(deviation, rel=1e-6, abs=1e-3)
        cuts = statistics.quantiles(every, n=100, method="inclusive")
        for share in (5, 25, 75, 99):
            assert figures["quantiles"][f"p{share}"] == pytest.approx(
                cuts[share - 1], rel=1e-9, abs=1e-4
            )
    else:
        assert figures["std_dev"] == 0.0


@settings(deadline=None)
@given(st.lists(st.lists(MEASURES, min_size=1, max_size=40), min_size=1, max_size=20))
def test_many_numbers_are_sampled_evenly(batches: list[list[float]]) -> None:
    numbers = NumericColumn(max_sample=10)
    for batch in batches:
        numbers.add(batch)
    every = [value for batch in batches for value in batch]
    assert list(numbers.sample) == every[:: numbers.stride]
    assert len(numbers.sample) <= 10
    assert ("quantiles_from" in numbers.complex()) == (len(every) > 10)


def test_outliers_are_outside_tukeys_fences() -> None:
    numbers = NumericColumn()
    numbers.add([*range(1, 101), 1000, "x", float("inf"), True])
    figures = numbers.complex()
    assert figures["outliers"]["count"] == 1
    assert figures["invalid"] == 3


@pytest.mark.parametrize(
    ("cell", "number"),
    [
        ("1.5", 1.5),
        (" 2 ", 2.0),
        ("1_000", None),
        ("nan", None),
        ("1e300", None),
        ([], None),
        (10**400, None),
    ],
    ids=list("abcdefg"),
)
def test_only_finite_decimal_numbers_are_parsed(cell: object, number: float | None) -> None:
    assert parse_number(cell) == number


def test_counted_texts_are_limited() -> None:
    texts = TextColumn()
    texts.add(["a", "b", "a", "", None])
    assert texts.complex()["top"][0] == {"value": "a", "count": 2}
    assert texts.simple() == {"count": 3, "missing": 2, "distinct": 2}
    texts.add([str(n) for n in range(MAX_DISTINCT)])
    texts.add(["new", "a"])
    assert texts.simple()["distinct_capped"] is True
    assert texts.values["a"] == 3
    assert "new" not in texts.values


def test_counted_groups_are_limited() -> None:
    groups = ColumnGroups("city", "price", max_groups=2)
    groups.add(["a", "b", "c", None, "a"], [1, 2, 3, "x", 5])
    assert groups.largest(1) == {
        "by": "city",
        "of": "price",
        "groups": {"a": {"count": 2, "sum": 6.0, "mean": 3.0}},
        "groups_capped": True,
    }


def test_a_csv_file_is_processed(tmp_path: Path) -> None:
    text = "city,price,when\nRome,1.5,x\nOslo,2.5,y\nRome,,z\n\nOslo,4\nRome,5,y,more\n"
    result = processed(tmp_path, source(tmp_path, "a.csv", "\ufeff" + text))

    assert result["processed_records"] == 5
    assert result["irregular_records"] == 2
    figures = result["statistics"]
    assert (figures["column"], figures["count"], figures["sum"]) == ("price", 4, 13.0)
    assert (figures["mean"], figures["median"]) == (3.25, 3.25)
    assert figures["columns"]["city"]["distinct"] == 2
    assert figures["group_by"][0]["groups"]["Oslo"] == {"count": 2, "sum": 6.5, "mean": 3.25}


def test_a_tab_separated_file_is_processed(tmp_path: Path) -> None:
    result = processed(tmp_path, source(tmp_path, "a.tsv", "a\tb\n1\t2\n"))
    assert result["statistics"]["columns"]["b"]["sum"] == 2.0


def test_json_lines_are_processed(tmp_path: Path) -> None:
    text = '{"n": 1, "s": "a\\u0000\\ud800", "o": {"x": 1}}\n\n{"n": null, "b": true}\n'
    late = '{"n": 2}\n' * 3000 + '{"late": 1}\n'
    result = processed(tmp_path, source(tmp_path, "a.jsonl", text + late))
    assert result["processed_records"] == 3003
    assert result["irregular_records"] == 1
    assert result["statistics"]["count"] == 3001
    assert result["statistics"]["columns"]["s"]["top"] == [{"value": "a?", "count": 1}]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.csv", b"", "empty"),
        ("a.csv", b"a,b\n\xff\xfe,1\n", "not UTF-8"),
        ("b.csv", b'a\n"' + b"x" * 200_000, "not CSV"),
        ("c.csv", b"a\n" + b"x" * 1_100_000, "longer than"),
        ("a.jsonl", b"", "empty"),
        ("b.jsonl", b"{", "line 1 is not JSON"),
        ("c.jsonl", b'{"a":NaN}', "line 1 is not JSON"),
        ("d.jsonl", b"{}\n[1]", "line 2 is not an object"),
        ("e.jsonl", b"[" * 100_000, "not JSON"),
        ("f.jsonl", b"{}\n{}", "empty"),
    ],
    ids=list("abcdefghij"),
)
def test_an_invalid_file_is_refused_with_the_line(
    tmp_path: Path, name: str, text: bytes, message: str
) -> None:
    with pytest.raises(Invalid, match=message):
        processed(tmp_path, source(tmp_path, name, text))


def test_a_file_with_a_header_only_has_no_rows(tmp_path: Path) -> None:
    result = processed(tmp_path, source(tmp_path, "a.csv", "a,b\n"))
    assert (result["processed_records"], result["statistics"]) == (0, {"count": 0})


def test_a_missing_or_unreadable_source_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(NotFound):
        processed(tmp_path, DataProcessing(source="none.csv"))
    with pytest.raises(Invalid, match="cannot be read"):
        processed(tmp_path, DataProcessing(source="folder.csv"))


def test_columns_and_operation_select_the_statistics(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("a,b,c\n1,2,x\n3,4,y\n")
    chosen = DataProcessing(source="a.csv", columns=("b", "a", "b"), operation="mean")
    result = processed(tmp_path, chosen)
    assert result["statistics"] == {
        "column": "b",
        "count": 2,
        "mean": 3.0,
        "columns": {"a": {"count": 2, "mean": 2.0}},
    }
    only_text = DataProcessing(source="a.csv", columns=("c",), operation="sum")
    assert processed(tmp_path, only_text)["statistics"]["columns"] == {"c": {"count": 2}}
    with pytest.raises(Invalid, match="no column 'z'"):
        processed(tmp_path, DataProcessing(source="a.csv", columns=("z",)))


@pytest.mark.parametrize("operation", ["count", "sum", "min", "max"])
def test_each_operation_is_one_statistic(tmp_path: Path, operation: Operation) -> None:
    figures = processed(tmp_path, DataProcessing(dataset_size=10, operation=operation))
    assert set(figures["statistics"]) == {"column", "count", operation, "columns"}


def test_synthetic_rows_are_the_same_for_the_same_size(tmp_path: Path) -> None:
    parameters = DataProcessing(dataset_size=5000, processing_type="complex")
    context = RecordedContext()
    result = processed(tmp_path, parameters, context)
    assert result == processed(tmp_path, parameters)
    assert result["processed_records"] == 5000
    assert result["statistics"]["mean"] == pytest.approx(50, abs=2)
    assert result["statistics"]["columns"]["category"]["distinct"] == 5
    assert [note[:2] for note in context.notes] == [(2000, 5000), (4000, 5000), (5000, 5000)]
    assert processed(tmp_path, DataProcessing())["statistics"]["count"] == 1000


def test_work_stops_between_two_batches(tmp_path: Path) -> None:
    context = RecordedContext(checks_left=[1])
    with pytest.raises(Cancelled):
        processed(tmp_path, DataProcessing(dataset_size=10_000), context)
    assert len(context.notes) == 2


def test_the_result_of_a_wide_file_is_shortened(tmp_path: Path) -> None:
    names = [f"{'é' * 90}{n}" for n in range(100)]
    rows = [[f"{'ß' * 99}{row}" if n else row for n in range(100)] for row in range(30)]
    with (tmp_path / "wide.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([names, *rows])
    wide = DataProcessing(source="wide.csv", processing_type="complex")
    result = processed(tmp_path, wide)
    assert len(json.dumps(result)) < 64 * 1024
    assert result["statistics"]["columns_in"] == "statistics.json"


def test_the_csv_table_contains_no_formula(tmp_path: Path) -> None:
    context = RecordedContext()
    processed(tmp_path, source(tmp_path, "a.csv", "=1+1,a,a,\n1,2,3,4\n"), context)
    table = context.files["statistics.csv"].decode().splitlines()
    assert [line.split(",")[0] for line in table] == ["column", "'=1+1", "a", "a_3", "column_4"]


def test_duplicate_names_are_numbered() -> None:
    assert datasets._unique_names(["a", "a_2", "a"]) == ["a", "a_2", "a_3"]
    assert datasets._unique_names(["a", "a_3", "a"]) == ["a", "a_3", "a_3_3"]


def test_paths_are_checked_when_a_job_is_created(tmp_path: Path) -> None:
    inside, outside = tmp_path / "in", tmp_path / "out"
    inside.mkdir()
    outside.mkdir()
    (inside / "link.csv").symlink_to(outside / "x.csv")
    task = DataProcessor(Folders("INPUT_DIRS", (inside,))).task()
    assert task.check is not None
    task.check(SYSTEM, DataProcessing(source="later.csv"))
    task.check(SYSTEM, DataProcessing(source=str(inside / "sub/../later.CSV")))
    for path in (
        "../out/x.csv",
        "link.csv",
        str(outside / "x.csv"),
        "/etc/passwd.csv",
        "\0.csv",
        "",
    ):
        with pytest.raises(Invalid) as caught:
            task.check(SYSTEM, DataProcessing(source=path))
        assert "source" in caught.value.field_errors
    with pytest.raises(Invalid, match="must end in"):
        task.check(SYSTEM, DataProcessing(source="a.xlsx"))
    with pytest.raises(Invalid, match="No folders are configured"):
        DataProcessor(Folders("INPUT_DIRS")).check(SYSTEM, DataProcessing(source="a.csv"))
    assert data.MAX_SIZE == 10_000_000


def test_a_relative_path_is_searched_in_every_folder(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    (tmp_path / "two" / "a.csv").write_text("a\n1\n")
    folders = Folders("INPUT_DIRS", (tmp_path / "one", tmp_path / "two"))
    assert folders.inside("a.csv", "source") == tmp_path / "two" / "a.csv"
    assert folders.inside("b.csv", "source") == tmp_path / "one" / "b.csv"
    assert folders.inside(".", "source") == tmp_path / "one"
    with pytest.raises(Invalid):
        folders.inside("\ud800", "source")
