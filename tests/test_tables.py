"""Tables: files as people and programs write them, and what a net is given of their columns."""

import csv
import gzip
import io
import os
import re
import subprocess
import sys
import warnings

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

import microtensor as mt


@pytest.fixture
def write(tmp_path):
    """A function that writes text or bytes to a file, and returns its path."""
    def write(content, name="table.csv"):
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write


@pytest.fixture
def read(write):
    """A function that reads text or bytes as a table."""
    def read(content, target=None, **options):
        return mt.Table.read(write(content), target, **options)

    return read


def lines(header, *columns):
    """The text of a table of columns."""
    return "\n".join([header, *(",".join(map(str, row)) for row in zip(*columns, strict=True))]) + "\n"


def said(notes, *words):
    """Whether one of the notes has all the words."""
    return any(all(word in note for word in words) for note in notes)


# -- files that are read -----------------------------------------------------------------------------------------------

PLAIN = "a,b\n1,x\n2,y\n"


@pytest.mark.parametrize(("content", "encoding"), [
    (PLAIN.encode(), "utf-8"),
    (PLAIN.encode("utf-8-sig"), "utf-8-sig"),
    (PLAIN.encode("utf-16"), "utf-16"),
    (b"\xfe\xff" + PLAIN.encode("utf-16-be"), "utf-16"),
    (PLAIN.encode("utf-16-le"), "utf-16-le"),
    (PLAIN.encode("utf-16-be"), "utf-16-be"),
    (PLAIN.encode("utf-32"), "utf-32"),
    (gzip.compress(PLAIN.encode(), mtime=0), "utf-8"),
    (PLAIN.replace("\n", "\r\n").encode(), "utf-8"),
    (PLAIN.replace("\n", "\r").encode(), "utf-8"),
    (PLAIN.replace("\n", "\n\n  \n").encode(), "utf-8"),
    (PLAIN.removesuffix("\n").encode(), "utf-8"),
    (PLAIN.replace(",", " , ").encode(), "utf-8"),
    (PLAIN.replace("\n", ",\n").encode(), "utf-8"),                     # a delimiter at the end of each line
    (b"a,b\n1,x,\n2,y,\n", "utf-8"),                                    # and not in the header
    (b'"a", "b"\n"1", "x"\n"2", "y"\n', "utf-8"),
], ids=["plain", "bom", "utf16", "utf16-be-bom", "utf16-le", "utf16-be", "utf32", "gz", "crlf", "mac", "blank lines",
        "no last line end", "spaces", "trailing", "trailing rows", "quotes"])
def test_file_is_read_however_it_is_written(read, content, encoding):
    table = read(content)
    assert table.columns == {"a": ["1", "2"], "b": ["x", "y"]}
    assert table.names == ["a", "b"] and len(table) == 2 and table.target is None and table.task is None
    assert table.format == {"delimiter": ",", "encoding": encoding, "decimal": ".", "header": True}
    assert repr(table) == "Table(2 rows, 2 columns)"
    assert said(table.notes, encoding) == (encoding != "utf-8")


@pytest.mark.parametrize("delimiter", [";", "\t", "|"])
def test_delimiter_is_found_and_said(read, delimiter):
    table = read(PLAIN.replace(",", delimiter))
    assert table.columns == {"a": ["1", "2"], "b": ["x", "y"]} and table.format["delimiter"] == delimiter
    assert said(table.notes, "separated")


@pytest.mark.parametrize(("content", "columns"), [
    ("1,5;2,5\n2,5;3,5\n", {"column 1": ["1,5", "2,5"], "column 2": ["2,5", "3,5"]}),
    ("Name;Stadt\nMeier, Jan;Ulm\nBo, Al;Bonn\n", {"Name": ["Meier, Jan", "Bo, Al"], "Stadt": ["Ulm", "Bonn"]}),
    ('a,b\n"1;2",x\n"3;4",y\n', {"a": ["1;2", "3;4"], "b": ["x", "y"]}),
    ("x\n1,5\n2,5\n", {"x": ["1,5", "2,5"]}),
    ("words\none two\nthree four\n", {"words": ["one two", "three four"]}),
])
def test_delimiter_is_not_one_that_cells_contain(read, content, columns):
    assert read(content).columns == columns


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_a_first_line_that_says_the_delimiter_is_none_of_the_table(read, end):
    table = read(end.join(["sep=;", "a;b", "1,5;2", "3;4", ""]))
    assert table.columns == {"a": ["1,5", "3"], "b": ["2", "4"]} and table.lines.tolist() == [3, 4]
    assert "the first line, 'sep=;', says what separates the cells" in table.notes
    assert read("sep=;\na,b\n1,2\n", delimiter=",").names == ["a", "b"]


def test_half_of_a_character_is_no_text(read):
    with pytest.raises(ValueError, match="is no text"):
        read(b"a,b\n1,\\ud800\n", encoding="unicode_escape")


def test_quantities_whose_squares_overflow_are_refused(read):
    content = lines("a,y", range(40), [f"{i}.5e150" for i in range(40)])
    with pytest.raises(ValueError, match=r"'y' reaches 3\.95e\+151"):
        read(content, "y").encoder(range(40))


def test_spaces_separate_cells_if_it_is_said(read):
    assert read("a b  c\n1 2 3\n4   5 x\n", delimiter=" ").columns == {"a": ["1", "4"], "b": ["2", "5"],
                                                                      "c": ["3", "x"]}


def test_quotes_hold_delimiters_quotes_and_line_breaks(read):
    table = read('a,b\n"x, y","one\ntwo"\n"say ""hi""",z\n5" pipe,w\n')
    assert table.columns == {"a": ["x, y", 'say "hi"', '5" pipe'], "b": ["one\ntwo", "z", "w"]}
    assert table.lines.tolist() == [2, 4, 5] and table.rows.tolist() == [1, 2, 3]


@pytest.mark.parametrize(("content", "encoding", "names"), [
    ("größe,имя\n1,да\n".encode(), "utf-8", ["größe", "имя"]),
    ("größe,n\n1,é\n".encode("latin-1"), "cp1252", ["größe", "n"]),
    ("n€,n\n1,é\n".encode("cp1252"), "cp1252", ["n€", "n"]),
    ("n,\u0081é\n1,2\n".encode("latin-1"), "latin-1", ["n", "\u0081é"]),
    ("имя,щ\n1,да\n".encode("utf-16-be"), "utf-16-be", ["имя", "щ"]),
])
def test_names_have_letters_of_all_kinds(read, content, encoding, names):
    table = read(content)
    assert table.names == names and table.format["encoding"] == encoding


def test_encoding_is_as_it_is_said(read):
    assert read("имя,щ\n1,да\n".encode("cp1251"), encoding="cp1251").columns == {"имя": ["1"], "щ": ["да"]}


def test_cells_of_ten_megabytes_are_read_and_the_limit_is_as_before(read):
    before = csv.field_size_limit()
    assert len(read(f"a,b\n{'x' * 10_000_000},1\ny,2\n").columns["a"][0]) == 10_000_000
    assert csv.field_size_limit() == before
    with pytest.raises(ValueError, match="holds numbers") as error:
        read(lines("a,y", range(30), [*range(29), "x" * 1_000_000]), "y")
    assert len(str(error.value)) < 500


def test_ten_thousand_columns_are_read(read):
    names = [f"c{i}" for i in range(10_000)]
    table = read("\n".join([",".join(names), *(",".join(str(i * k % 7) for k in range(10_000)) for i in range(12))]),
                 "c1", task="regression")
    encoder = table.encoder(range(12))
    assert table.names == names and encoder.encode(table).shape == (12, encoder.inputs)


def test_index_of_pandas_has_a_name_and_is_not_used(read):
    table = read(",a,y\n0,5,x\n1,7,y\n2,6,x\n3,9,y\n", "y")
    encoder = table.encoder(range(4))
    assert table.names == ["column 1", "a", "y"] and encoder.inputs == 1 and said(encoder.notes, "column 1", "not used")


@pytest.mark.parametrize(("content", "header"), [
    ("1,2\n3,4\n", False),
    ("1,2\n", False),
    ("a,b\n1,2\n", True),
    ("name,city\nbob,rome\nann,oslo\n", True),
    ("x,y\ny,x\nx,y\n", False),
    ("when,what\n2020-01-01,x\n2020-01-02,x\n", True),
    ("2020-01-03,x\n2020-01-01,x\n2020-01-02,x\n", False),
    ("country,1990,mean\nX,1,2\nY,3,4\n", True),
    ("NA,2\n3,4\n", False),
])
def test_header_is_told_from_data(read, content, header):
    table = read(content)
    assert table.format["header"] is header and said(table.notes, "first line holds data") is not header
    assert header or table.names == ["column 1", "column 2"]
    assert len(table) == content.count("\n") - header


def test_target_in_the_first_row_shows_that_it_is_the_header(read):
    content = "country,1990,1991\nX,1,2\nY,3,4\n"
    assert read(content).format["header"] is False and read(content, header=True).names == ["country", "1990", "1991"]
    assert read(content, "1991").names == ["country", "1990", "1991"]


# -- files that are refused --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("content", "words"), [
    ("", "empty"),
    ("\n  \n", "empty"),
    ("a,b\n", "no row below"),
    (",", "no name for column 1"),
    (",,\n,,\n", "no name for column 2"),
    ("a,,b\n1,2,3\n", "no name for column 2"),
    ("a,a,b\n1,2,3\n", "'a' more than once"),
    ("a,b,c\n1,2,3\n1,2\n1,2,3,4\n", "line 3 has 2 cells and the header 3, by commas (rows that differ: 2 of 3)"),
    ("1,2\n3,4,5\n", "line 2 has 3 cells and the first row 2"),
    ('a,b\n1,2\n3,"x\n4,5\n', "line 3 is never closed"),
    ('a,b\n1,"x" y\n', "line 2 cannot be read"),
    (b"PK\x03\x04xl/workbook", "zip archive"),
    (b"PAR1\x15\x04", "Parquet"),
    (b"\x80\x04\x95", "pickle"),
    (b"\x93NUMPY\x01", "NumPy array"),
    (b"\x89PNG\r\n", "PNG"),
    (b"<!DOCTYPE html>\n<html>", "web page"),
    (gzip.compress(b"PAR1\x15\x04", mtime=0), "Parquet"),
    (b"a" * 257 + b"ustar", "tar"),
    (b"\x7fELF\x02\x01\x00\x00\x00\x00\x01\x02\x00\x00", "no text"),
    (b"a,b\n1,\x00\n", "no text"),
    (b"\xff\x00\x81\x07\x1a" * 9, "no text"),
    (gzip.compress(PLAIN.encode() * 100, mtime=0)[:-20], "damaged"),
    (b"\x1f\x8bhello", "damaged"),
    (b"\xef\xbb\xbfa,b\n1,\xff\n", "not utf-8-sig"),
    (b"\xff\xfea", "not utf-16"),
    ("a;b\n1,5;2.5\n2,25;3.5\n", "decimal points and those of 'a' decimal commas"),
])
def test_file_that_is_no_table_is_refused_in_a_sentence(write, content, words):
    path = write(content)
    with pytest.raises(ValueError, match=re.escape(words)) as error:
        mt.Table.read(path)
    assert str(error.value).startswith(f"{path}: ") and "\n" not in str(error.value)


@pytest.mark.parametrize(("content", "target", "words"), [
    ("a,b\n1,2\n", "b", "nothing to learn"),
    ("a,b\n1,x\n2,x\n", "b", "'x' in every row"),
    ("a,b\n1,1\n2,1.0\n", "b", "nothing to learn"),
    ("a,b\n1,\n2,NA\n", "b", "missing in all rows"),
    ("a\n1\n2\n", "a", "single column"),
    ("a b c\n1 2 3\n4 5 6\n", "a b c", "delimiter="),
    ("Age,b\n1,2\n2,3\n", "age", "(is it 'Age'?), only 'Age', 'b'"),
    (lines("a,y", range(100), [f"n{i}" for i in range(100)]), "y", "100 different cells"),
    (lines("a,y", range(100), [f"{i}%" for i in range(100)]), "y", "leave the sign out to predict numbers"),
    (lines("a,y", range(101), [*range(100), "abc"]), "y", "but for 1 of its 101 cells, the first 'abc' in line 102"),
])
def test_target_that_cannot_be_learnt_is_refused(read, content, target, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        read(content, target)


@pytest.mark.parametrize(("options", "error", "words"), [
    ({"target": 1}, TypeError, "name of a column"),
    ({"task": "classification"}, ValueError, "needs a target"),
    ({"target": "b", "task": "ranking"}, ValueError, "'classification' or 'regression'"),
    ({"target": "b", "task": "regression"}, ValueError, "holds numbers but for 2 of its 2 cells"),
    ({"delimiter": ";;"}, ValueError, "single character"),
    ({"delimiter": '"'}, ValueError, "no quote"),
    ({"encoding": "utf-9"}, ValueError, "no encoding 'utf-9'"),
    ({"encoding": "utf-16"}, ValueError, "no name|not utf-16|no row"),
    ({"decimal": ";"}, ValueError, "decimal"),
    ({"header": 1}, TypeError, "header"),
])
def test_wrong_arguments_are_refused(read, options, error, words):
    with pytest.raises(error, match=words):
        read(PLAIN, **options)


def test_too_many_different_cells_are_no_classes_unless_it_is_said(read):
    numbers = lines("a,y", range(100), np.arange(100) * 1.5)
    assert read(numbers, "y").task == "regression"
    texts = lines("a,y", range(100), [f"${price}" for price in range(100)])
    with pytest.raises(ValueError, match=r"100 different cells .*leave the sign out"):
        read(texts, "y")
    for content in (numbers, texts):        # as a small table to evaluate a model of many classes on
        assert read(content, "y", task="classification").task == "classification"


def test_classes_that_differ_in_the_case_of_letters_are_said(read):
    table = read(lines("a,y", range(40), 10 * ["True", "False", "TRUE", "No"]), "y")
    assert said(table.notes, "'TRUE' and 'True' in the target 'y' are two classes")
    assert not said(read(lines("a,y", range(40), 20 * "ab"), "y").notes, "two classes")


def test_whole_numbers_beyond_float64_are_no_classes(read):
    content = lines("a,y", range(40), [2**53 + i % 2 for i in range(40)])
    for task in (None, "classification"):
        with pytest.raises(ValueError, match=r"'y' holds numbers of 2\*\*53 and more"):
            read(content, "y", task=task)
    quantities = lines("a,y", range(40), ["1e16", "10000000000000000", *(f"{i}.5" for i in range(38))])
    assert read(quantities, "y").task == "regression"


def test_folders_and_missing_files_raise_what_the_system_says(tmp_path):
    with pytest.raises(IsADirectoryError):
        mt.Table.read(tmp_path)
    with pytest.raises(FileNotFoundError):
        mt.Table.read(tmp_path / "no.csv")
    with pytest.raises(TypeError):
        mt.Table.read(5)


def test_unreadable_file_raises_what_the_system_says(write):
    path = write(PLAIN)
    path.chmod(0)
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)           # root may read everything
    try:
        with pytest.raises(PermissionError):
            mt.Table.read(path)
    finally:
        os.seteuid(user)


# -- numbers -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("cells", "numbers", "decimal"), [
    (["1", "-2", "+3.5", ".5", "1.", "1e3"], [1, -2, 3.5, 0.5, 1, 1000], "."),
    (["1,234.5", "12", "1,234,567"], [1234.5, 12, 1234567], "."),
    (["1.234,5", "12", "1.234.567"], [1234.5, 12, 1234567], ","),
    (["1,5", "-2,25", "1e-2"], [1.5, -2.25, 0.01], ","),
    (["\u22121.5", "2e\u22121", "3"], [-1.5, 0.2, 3], "."),
    (["\u22121.234,5", "2"], [-1234.5, 2], ","),
    (["0", "0.5", "-01.5"], [0, 0.5, -1.5], "."),
    (["0,125", "0,250"], [0.125, 0.25], ","),
    (["1 234,5", "2"], [1234.5, 2], ","),
    (["1\u00a0234", "2\u202f345\u202f678".replace("\u202f", "\u00a0")], [1234, 2345678], "."),
    (["1'234.5", "2"], [1234.5, 2], "."),
    (["5", "NA", "N/A", "#N/A", "?", "-", "null", "None", "nan", ""], [5] + 9 * [np.nan], "."),
    (["1", "inf", "-inf", "1e400", "Infinity"], [1] + 4 * [np.nan], "."),
])
def test_numbers_are_read_by_the_convention_that_cells_show(read, cells, numbers, decimal):
    text = io.StringIO()
    csv.writer(text).writerows([("x", "y"), *((cell, "t") for cell in cells)])
    table = read(text.getvalue())
    np.testing.assert_array_equal(table.numbers("x"), numbers)
    assert table.format["decimal"] == decimal and table.numbers("x").dtype == np.float64
    assert table.numbers("y") is None and table.notes == ["numbers have a decimal comma"] * (decimal == ",")


@pytest.mark.parametrize("cell", ["1_000", "5%", "$5", "0x10", "1,23,456", "1 2345", "\u0661", "1e", "--1", "12:30",
                                  "1.5.2", "1,234 567.8", "TRUE"])
def test_what_is_no_number_is_text(read, cell):
    assert read(f'x,y\n"{cell}",1\n"{cell}",2\n', decimal=".").numbers("x") is None


def test_whole_numbers_with_leading_zeros_are_codes_and_it_is_said(read):
    codes = ["01234", "10001", "", "20500"] * 25
    table = read(lines("zip,x,y", codes, range(100), 50 * "ab"), "y")
    encoder = table.encoder(range(100))
    assert table.numbers("zip") is None and encoder.inputs == 4
    assert "'zip' is taken for codes, not for quantities, as its whole numbers have leading zeros" in encoder.notes
    target = read(lines("x,y", 10 * [*range(10)], ["00", "01"] * 50), "y")
    assert target.task == "classification" and target.encoder(range(100)).classes == ["00", "01"]


def test_thousands_are_grouped_in_one_way(read):
    assert read("x;y\n1 234;1\n1'234;2\n").numbers("x") is None


def test_a_cell_that_can_be_read_by_both_conventions_is_said(read):
    table = read("x;y\n1,234;a\n12;b\n")
    assert table.numbers("x").tolist() == [1234, 12] and table.ambiguous == ["x"] and not table.decided
    assert said(table.notes, "'1,234'", "1234 or 1.234", "decimal=','")
    table = read("x;y\n1,234;a\n12;b\n", decimal=",")
    assert table.numbers("x").tolist() == [1.234, 12] and not table.ambiguous and not said(table.notes, "1,234")


def test_a_column_of_both_conventions_is_refused_and_shows_none(read):
    table = read(lines("x;y", [*(f"{i};u" for i in range(40)), "1.5;v", "1,5;v"]), "y")
    assert not table.decided and not table.ambiguous and table.numbers("x") is None
    with pytest.raises(ValueError, match="'x' holds numbers but for 1 of 42 cells"):
        table.encoder(range(42))


def test_separators_of_thousands_are_said(read):
    encoder, _ = encoded(read(lines("x;y", ["1 234;u", "5 678;v", "12;u"]), "y"))
    assert said(encoder.notes, "'x' has numbers with ' ' between thousands")


def test_other_columns_show_how_a_cell_is_read(read):
    assert read("x;y\n1,234;0,5\n12;1\n").numbers("x").tolist() == [1.234, 12]
    assert read("x;y\n1,234;0.5\n12;1\n").numbers("x").tolist() == [1234, 12]


# -- task and split ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("target", "task"), [
    (["a", "b"] * 10, "classification"),
    (["True", "False"] * 10, "classification"),
    ([0, 1] * 10, "classification"),
    ([1.0, 2.0] * 10, "classification"),
    ([0.5, 1.5] * 10, "regression"),
    ([0, 1, 2, 3, 4] * 4, "regression"),
    (list(range(20)), "regression"),
])
def test_task_is_what_the_target_shows_and_is_said(read, target, task):
    table = read(lines("x,y", range(20), target), "y")
    assert table.task == task and said(table.notes, f"the task is {task}", "'y'")


def test_rows_without_target_are_dropped_and_the_others_keep_their_numbers(read):
    table = read("x,y\n5,1.5\n6,\n\n7,2.5\n8,NA\n9,inf\n1,3.5\n", "y")
    assert table.columns == {"x": ["5", "7", "1"], "y": ["1.5", "2.5", "3.5"]}
    assert table.rows.tolist() == [1, 3, 6] and table.lines.tolist() == [2, 5, 8]
    assert table.numbers("x").tolist() == [5, 7, 1] and said(table.notes, "3 rows of 6 dropped")


@settings(max_examples=50, deadline=None)
@given(st.lists(st.sampled_from("abcdefg"), min_size=30, max_size=200).filter(lambda cells: len(set(cells)) > 1),
       st.sampled_from([(0.7, 0.15, 0.15), (0.5, 0.5), (0.8, 0.1, 0.1)]), st.integers(0, 99))
def test_split_has_every_row_once_and_every_class_in_its_first_part(tmp_path_factory, cells, fractions, seed):
    path = tmp_path_factory.mktemp("split") / "t.csv"
    path.write_text(lines("x,y", range(len(cells)), cells))
    table = mt.Table.read(path, "y", header=True)
    parts = table.split(fractions, seed)
    assert np.array_equal(np.sort(np.concatenate(parts)), np.arange(len(cells)))
    assert {cells[row] for row in parts[0]} == set(cells)
    for part, fraction in zip(parts, fractions, strict=True):
        assert part.dtype == np.int64 and np.array_equal(part, np.unique(part)) and len(part) > 0
        assert abs(len(part) - fraction * len(cells)) <= len(set(cells)) + 1
    assert all(map(np.array_equal, parts, table.split(fractions, seed)))


def test_split_gives_classes_their_shares(read):
    table = read(lines("x,y", range(200), ["a"] * 180 + ["b"] * 20), "y")
    for part in table.split((0.7, 0.15, 0.15), seed=3):
        assert abs(np.mean(part >= 180) - 0.1) < 0.05
    assert [len(part) for part in table.split()] == [140, 30, 30]
    assert not np.array_equal(table.split(seed=1)[0], table.split(seed=2)[0])


def test_split_is_the_same_on_every_machine(read):
    table = read(lines("x,y", range(10), np.arange(10) / 2), "y")
    assert [part.tolist() for part in table.split((0.6, 0.4), seed=1)] == [[0, 2, 3, 5, 6, 7], [1, 4, 8, 9]]


def test_small_tables_are_split_so_that_no_part_is_empty(read):
    table = read("x,y\n1,0.5\n2,1.5\n3,2.5\n", "y")
    assert sorted(map(len, table.split())) == [1, 1, 1]
    with pytest.raises(ValueError, match="too few"):
        read("x,y\n1,0.5\n2,1.5\n", "y").split()
    with pytest.raises(ValueError, match="too few"):
        read("x,y\n1,a\n2,b\n3,c\n", "y").split()


@pytest.mark.parametrize("fractions", [(0.5, 0.4), (1.5, -0.5), (1, 0), [[1.0]], ()])
def test_split_refuses_fractions_that_do_not_sum_to_1(read, fractions):
    with pytest.raises(ValueError, match="sum to 1"):
        read(PLAIN, "b").split(fractions)


# -- encoding ----------------------------------------------------------------------------------------------------------


def encoded(table, rows=None):
    encoder = table.encoder(np.arange(len(table)) if rows is None else rows)
    return encoder, encoder.encode(table).numpy()


def test_numbers_are_standardised_and_gaps_are_marked(read):
    encoder, x = encoded(read("a,b,y\n10,1,u\n20,,v\n60,4,u\n30,5,v\n", "y"))
    a, b = np.array([10, 20, 60, 30.0]), np.array([1, 4, 5.0])
    expected = [(a - a.mean()) / a.std(), (np.array([1, 4, 4, 5]) - b.mean()) / b.std(), [0, 1, 0, 0]]
    np.testing.assert_allclose(x, np.transpose(expected), rtol=1e-6)
    assert x.dtype == np.float32 and encoder.inputs == 3 and said(encoder.notes, "'b' is missing in 1 row", "median, 4")


def test_categories_are_one_hot_and_missing_is_one_of_them(read):
    encoder, x = encoded(read("a,y\nred,u\nblue,v\n,u\nred,v\n", "y"))
    assert x.tolist() == [[0, 1, 0], [1, 0, 0], [0, 0, 1], [0, 1, 0]]
    assert said(encoder.notes, "'a' becomes 3 columns", "'blue', 'red'", "missing")


def test_rare_categories_share_a_column_which_unknown_ones_go_to(read):
    cells = ["a"] * 50 + ["b"] * 46 + ["c", "d", "d", "e"]
    encoder, x = encoded(read(lines("a,y", cells, ["u", "v"] * 50), "y"))
    assert x.sum(axis=0).tolist() == [50, 46, 4] and said(encoder.notes, "3 rare")
    with pytest.warns(UserWarning, match=r"'a' holds categories that no training row has in 2 rows, 'z'"):
        assert encoder.encode(read("a\nz\nz\nd\n", header=True)).tolist() == [[0, 0, 1]] * 3


def test_unknown_categories_are_neutral_where_none_was_rare(read):
    encoder, _ = encoded(read("a,y\nred,u\nblue,v\nred,u\nred,v\n", "y"))
    with pytest.warns(UserWarning, match="'green'"):
        assert encoder.encode(read("a\ngreen\nblue\n")).tolist() == [[0.25, 0.75], [1, 0]]


def test_at_most_a_hundred_categories_have_a_column(read):
    cells = [f"c{i % 120:03}" for i in range(1200)]
    encoder, x = encoded(read(lines("a,y", cells, ["u", "v"] * 600), "y"))
    assert encoder.inputs == 101 and (x.sum(axis=1) == 1).all() and x[:, 100].sum() == 200


@pytest.mark.parametrize(("cells", "days"), [
    (["1970-01-02", "1970-01-11", "1969-12-31"], [1, 10, -1]),
    (["1970-01-02 06:00", "1970-01-11T12:00:00", "1970-01-01T00:00:00.5Z"], [1.25, 10.5, 0.5 / 86400]),
    (["1970-01-02T01:00+01:00", "1970-01-02 00:00:00-06:00", "1970-01-01"], [1, 1.25, 0]),
    (["02.01.1970", "11.1.1970", "01.01.1970"], [1, 10, 0]),
    (["13/01/1970", "02/01/1970", "03/01/1970"], [12, 1, 2]),
    (["01/13/1970", "01/02/1970", "01/03/1970"], [12, 1, 2]),
    (["1970/1/2", "1970/1/11", "1970/1/1"], [1, 10, 0]),
])
def test_dates_become_numbers_of_days(read, cells, days):
    encoder, x = encoded(read(lines("a,y", cells * 4, ["u", "v"] * 6), "y"))
    days = np.array(days * 4)
    np.testing.assert_allclose(x[:, 0], (days - days.mean()) / days.std(), rtol=1e-5)
    assert said(encoder.notes, "'a' holds dates")


@pytest.mark.parametrize(("name", "cells", "reason"), [
    ("a", ["x"] * 200, "all its cells are 'x'"),
    ("a", ["1", "1.0"] * 100, "all its cells are '1'"),
    ("a", ["NA", ""] * 100, "missing"),
    ("a", ["inf", ""] * 100, "none of its numbers is finite"),
    ("a", range(200), "identify the rows"),
    ("a", range(1, 201), "identify the rows"),
    ("customer_id", range(1000, 200, -4), "identify the rows"),
    ("orderId", range(1000, 200, -4), "identify the rows"),
    ("a", [f"n{i}" for i in range(200)], "identifier"),
    ("a", [f"n{i % 120}" for i in range(200)], "free text"),
    ("a", ["01/02/2020", "03/04/2020"] * 100, "which number is the day"),
    ("a", ["01/02/20", "13/04/20"] * 100, "look like dates"),
    ("a", ["1-Jan-2020", "2-Feb-2020"] * 100, "look like dates"),
    ("a", ["Jan 12, 2020", "May 1, 2020"] * 100, "look like dates"),
    ("a", ["2020-02-30", "2020-02-01"] * 100, "look like dates"),
    ("a", [f"n{i // 4}" for i in range(200)], "fewer than 5 rows"),
])
def test_columns_that_cannot_be_learnt_from_are_dropped_and_said(read, name, cells, reason):
    table = read(lines(f"{name},b,y", [f'"{cell}"' for cell in cells], np.arange(200) * 7 % 13, ["u", "v"] * 100), "y")
    encoder = table.encoder(range(200))
    assert encoder.inputs == 1 and said(encoder.notes, f"'{name}' is not used", reason)
    with pytest.raises(ValueError, match="no column is left"):
        read(lines(f"{name},y", [f'"{cell}"' for cell in cells], ["u", "v"] * 100), "y").encoder(range(200))


def test_notes_on_many_columns_stay_short(read):
    """Of more than three columns that are treated alike one is told of in full, and the others are named."""
    for columns, expected in ((3, 3), (4, 1), (100, 1)):
        names = [f"n{i}" for i in range(columns)]
        cells = [["" if row == i % 20 else row * 1.5 for row in range(40)] for i in range(columns)]
        notes = read(lines(",".join([*names, "y"]), *cells, 20 * "ab"), "y").encoder(range(40)).notes
        assert len(notes) == expected and notes[0].startswith("'n0' is missing in 1 row: the median, ")
    assert notes[0].endswith("; likewise 'n1', 'n2', 'n3', 'n4', 'n5' and 94 more")


def test_years_in_order_are_numbers(read):
    assert encoded(read(lines("year,y", range(1900, 2000), ["u", "v"] * 50), "y"))[0].inputs == 1


@pytest.mark.parametrize(("cells", "words"), [
    (["5%", "7%", "9%", "n"] * 5, "but for a sign"),
    (["€ 5", "€ 7", "€ 9", "€ 4"] * 5, "but for a sign"),
    (["5", "7", "9", "many"] * 5, "15 of 20 cells are numbers: 'many' in line 5"),
])
def test_text_that_is_nearly_numbers_is_said(read, cells, words):
    encoder, _ = encoded(read(lines("a,y", cells, ["u", "v"] * 10), "y"))
    assert said(encoder.notes, "'a' is text, though", words)


def test_a_few_cells_that_are_no_numbers_are_refused(read):
    table = read(lines("a,y", [*range(50, 98), "old", 99], ["u", "v"] * 25), "y")
    with pytest.raises(ValueError, match=r"'a' holds numbers but for 1 of 50 cells in the training rows, the first "
                                         r"'old' in line 50: .* leave a cell empty"):
        table.encoder(range(50))
    encoder = table.encoder(range(40))
    with pytest.raises(ValueError, match="'a' holds numbers in the training rows, and 1 of 50 cells are none"):
        encoder.encode(table)


@pytest.mark.parametrize("cells", [["1e308", "-1e308", "1e-300", "0"], ["1e-320", "2e-320", "0", "0"],
                                   ["1e16", "10000000000000002", "1e16", "1e16"]])
def test_extreme_numbers_are_finite(read, cells):
    encoder, x = encoded(read(lines("a,y", cells, "uvuv"), "y"))
    assert np.isfinite(x).all()
    assert np.isfinite(encoder.encode(read("a\n1e308\n-1e308\n")).numpy()).all()


def test_equal_numbers_do_not_vary_by_rounding(read):
    table = read(lines("a,b,y", ["0.1"] * 10 + [""], np.arange(11) ** 2, ["0.1"] * 10 + ["0.2"]), "y")
    assert np.abs(table.encoder(range(11)).encode(table).numpy()[:, 0]).max() == 0
    with pytest.raises(ValueError, match="all training rows"):
        table.encoder(range(10))


def test_classes_have_the_names_of_the_file(read):
    table = read(lines("x,y", np.arange(20) ** 2, ["2", "10", "10.0", "10"] * 5), "y", task="classification")
    encoder = table.encoder(range(20))
    assert encoder.classes == ["2", "10"] and encoder.outputs == 2 and encoder.task == "classification"
    y = encoder.encode_target(table)
    assert y.tolist() == [0, 1, 1, 1] * 5 and y.dtype == mt.int64
    names, probabilities = encoder.decode(mt.tensor([[0.0, 1.0], [800.0, -800.0]]))
    assert names == ["10", "2"] and probabilities.dtype == np.float64
    np.testing.assert_allclose(probabilities, [[1 / (1 + np.e), np.e / (1 + np.e)], [1, 0]])


def test_quantities_come_back_in_their_units(read):
    values = np.arange(20) * 1.5 + 1000
    table = read(lines("x,y", np.arange(20) ** 2, values), "y")
    encoder = table.encoder(range(10))
    y = encoder.encode_target(table)
    assert y.shape == (20, 1) and y.dtype == mt.float32 and encoder.classes is None and encoder.outputs == 1
    assert abs(y[:10].mean().item()) < 1e-6 and abs(y[:10].var(correction=0).item() - 1) < 1e-5
    np.testing.assert_allclose(encoder.decode(y), values, rtol=1e-6)
    np.testing.assert_allclose(encoder.decode(y.numpy()[:, 0]), values, rtol=1e-6)
    assert encoder.decode(y).dtype == np.float64


@pytest.mark.parametrize(("target", "outputs"), [("s", np.zeros((3, 4))), ("s", np.zeros(3)), ("x", np.zeros((3, 2)))])
def test_outputs_of_another_shape_are_refused(read, target, outputs):
    table = read("x,z,s\n1.5,4,a\n2,5,b\n3,9,b\n", target, header=True)
    with pytest.raises(ValueError, match="outputs must be"):
        table.encoder(range(3)).decode(outputs)


@pytest.mark.parametrize(("rows", "error"), [([], ValueError), ([0.5], ValueError), ([[0]], ValueError),
                                             ([3], IndexError), ([-1], IndexError)])
def test_rows_that_are_not_there_are_refused(read, rows, error):
    with pytest.raises(error, match="rows"):
        read(PLAIN, "b").encoder(rows)


@pytest.mark.parametrize(("content", "target"), [("x,y\n5,a\n6,a\n7,b\n", "y"), ("x,y\n5,1.5\n6,1.5\n7,b2\n", None)])
def test_an_encoder_needs_a_target_that_varies(read, content, target):
    with pytest.raises(ValueError, match=r"in all training rows|needs a target"):
        read(content, target).encoder([0, 1])


# -- another table -----------------------------------------------------------------------------------------------------

TRAINING = lines("age,colour,day,price", np.arange(40) * 7 % 23, ["red", "green"] * 20,
                 [f"2020-01-{1 + i * 3 % 28:02}" for i in range(40)], np.arange(40) * 0.5)


@pytest.fixture
def encoder(read):
    return read(TRAINING, "price").encoder(range(40))


def test_columns_are_found_by_name_in_any_order(read, encoder):
    rows = [line.split(",") for line in TRAINING.splitlines()]
    mixed = "\n".join(",".join(row[i] for i in (2, 3, 0, 1)) for row in rows)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        expected = encoder.encode(read(TRAINING, "price")).tolist()
        assert encoder.encode(read(mixed)).tolist() == expected
        assert encoder.encode(read(mixed.replace(",", ";").encode("utf-16"))).tolist() == expected
        assert encoder.encode(read(gzip.compress(mixed.replace(",", "\t").encode()))).tolist() == expected


@pytest.mark.parametrize(("content", "words"), [
    ("Age,colour,day\n1,red,2020-01-01\n", "lacks 'age', which the model was trained on; is 'Age' the same as 'age'"),
    ("colour,day\nred,2020-01-01\n", "lacks 'age'"),
    ("1,red,2020-01-01\n", "lacks 'age', 'colour', 'day', .*its first line was taken for data: say header=True"),
    ("age,colour,day\n1,red,2020-01-01\nx,red,2020-01-01\ny,red,2020-01-01\n",
     "'age' holds numbers in the training rows, and 2 of 3 cells are none, the first 'x' in line 3"),
    ("age,colour,day\n1,red,30.02.2020\n", "'day' holds dates, year-month-day, in the .* '30.02.2020' in line 2"),
])
def test_a_table_that_does_not_fit_is_refused(read, encoder, content, words):
    with pytest.raises(ValueError, match=words):
        encoder.encode(read(content))


@pytest.mark.parametrize(("content", "words"), [
    ("age,colour,day,size\n1,red,2020-01-01,5\n", "does not know 'size': not used"),
    ("age,colour,day\n1,red,2020-01-01\n1,blue,2020-01-01\n1,pink,2020-01-01\n", "in 2 rows, 'blue', 'pink'"),
    ("age,colour,day\n1,red,2020-01-01\n,red,2020-01-01\n", "'age' has no value in 1 row, .* the median"),
    ("age,colour,day\n1,red,2020-01-01\n1,,2020-01-01\n", "'colour' has no value in 1 row, .* unknown"),
    ("age;colour;day\n1,234;red;2020-01-01\n", "can have a decimal point or a decimal comma"),
])
def test_a_table_that_fits_but_for_a_little_is_warned_of(read, encoder, content, words):
    if "1,234" in content:      # the training table must not show its decimal mark either
        encoder = read(TRAINING.replace(".5", "").replace(".0", ""), "price", task="regression").encoder(range(40))
    with pytest.warns(UserWarning, match=words) as found:
        x = encoder.encode(read(content))
    assert len(found) == 1 and found[0].filename == __file__
    assert np.isfinite(x.numpy()).all()


def test_a_gap_is_the_median(read, encoder):
    with pytest.warns(UserWarning, match="median, 11.5"):
        gap, median = encoder.encode(read("age,colour,day\n,red,2020-01-01\n11.5,red,2020-01-01\n")).tolist()
    assert gap == median


@pytest.mark.parametrize("day", ["31.01.2020", "31/01/2020", "01/31/2020", "2020-01-31 00:00"])
def test_dates_may_be_of_another_order_than_in_training(read, encoder, day):
    expected = encoder.encode(read("age,colour,day\n1,red,2020-01-31\n")).tolist()
    assert encoder.encode(read(f"age,colour,day\n1,red,{day}\n")).tolist() == expected


def test_dates_that_may_be_of_two_orders_have_that_of_the_training(read):
    encoder = read(lines("a,y", [f"{i:02}/01/2020" for i in range(1, 31)], "uvu" * 10), "y").encoder(range(30))
    first, second = encoder.encode(read("a\n02/01/2020\n03/01/2020\n")).flatten().tolist()
    assert 0 < second - first < 0.2


def test_a_table_to_evaluate_on_may_have_a_single_class(read):
    encoder = read(lines("x,y", [5, 9, 2, 7], "uvuv"), "y").encoder(range(4))
    table = read("x,y\n1,v\n2,v\n3,\n", encoder.target, task=encoder.task)
    assert encoder.encode_target(table).tolist() == [1, 1]
    with pytest.raises(ValueError, match="nothing to learn"):
        table.encoder([0, 1])


@pytest.mark.parametrize(("delimiter", "decimal"), [(",", "."), (";", "."), (";", ","), ("\t", ",")])
def test_decimal_marks_may_be_others_than_in_training(read, encoder, delimiter, decimal):
    rows = "age,colour,day\n1.5,red,2020-01-01\n2.25,green,2020-01-02\n"
    expected = encoder.encode(read(rows)).tolist()
    written = rows.replace(",", delimiter).replace(".", decimal)
    assert encoder.encode(read(written)).tolist() == expected


def test_a_decimal_mark_that_was_assumed_in_training_is_assumed_again(read):
    table = read(lines("a,y", [f"3.{i}5" for i in range(10, 30)], "uv" * 10), "y")
    assert table.ambiguous == ["a"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        x = table.encoder(range(20)).encode(table)
    assert abs(x.mean().item()) < 1e-5


@pytest.mark.parametrize(("mark", "value"), [(".", 1234.0), (",", 1.234)])
def test_cells_that_show_no_decimal_mark_have_that_of_the_training(read, mark, value):
    training = read(lines("a;y", [f"{i}{mark}5;{'uv'[i % 2]}" for i in range(20)]), "y")
    encoder = training.encoder(range(20))
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        x = encoder.encode(read("a\n1,234\n", header=True))
    assert ["comma is taken, as in the training" in str(warning.message) for warning in found] == [True] * (mark == ",")
    a = np.arange(20) + 0.5
    np.testing.assert_allclose(x.item(), (value - a.mean()) / a.std(), rtol=1e-5)


def test_tables_without_names_need_the_same_columns(read):
    rows = [[str(i * 7 % 23), str(i * 5 % 11), "uv"[i % 2]] for i in range(30)]
    last = read(lines("5,4,u", *zip(*rows, strict=True)), "column 3").encoder(range(31))
    assert last.encode(read("5,4\n6,3\n")).shape == (2, 2)
    first = read(lines("u,5,4", *list(zip(*rows, strict=True))[::-1]), "column 1").encoder(range(31))
    with pytest.raises(ValueError, match="lacks 'column 3'"):
        first.encode(read("5,4\n6,3\n"))
    constant = read(lines("u,5,4,1", *list(zip(*rows, strict=True))[::-1], [1] * 30), "column 1").encoder(range(31))
    with pytest.raises(ValueError, match="4 columns without names, and the table has 3"):
        constant.encode(read("5,4,1\n6,3,1\n"))


@pytest.mark.parametrize(("content", "words"), [
    ("x\n1\n2\n", "has no target 'y'"),
    ("x,Y\n1,u\n2,v\n", "is 'Y' the same as 'y'"),
    ("x,y\n1,u\n2,w\n", "'y' is 'w' in line 3, which is none of the 2 classes of the training rows, 'u', 'v'"),
    ("x,y\n1,u\n2,\n", "'y' is '' in line 3"),
])
def test_targets_that_are_unknown_or_missing_are_refused(read, content, words):
    encoder = read(lines("x,y", [5, 9, 2, 7], "uvuv"), "y").encoder(range(4))
    with pytest.raises(ValueError, match=words):
        encoder.encode_target(read(content))


@pytest.mark.parametrize(("cell", "words"), [("", "infinite in 1 row"), ("inf", "missing"), ("x", "numbers")])
def test_quantities_that_are_none_are_refused(read, encoder, cell, words):
    with pytest.raises(ValueError, match=words):
        encoder.encode_target(read(f"age,price\n1,2\n2,{cell}\n", header=True))


def test_only_tables_are_encoded(encoder):
    for method in (encoder.encode, encoder.encode_target):
        with pytest.raises(TypeError, match="expected a Table"):
            method(np.zeros((2, 2)))


def test_statistics_are_of_the_training_rows_alone(read):
    rows = TRAINING.splitlines()
    other = rows[:21] + ["1000,violet,2031-01-01,99.5", ",,,8"] * 10
    states = [read("\n".join(text), "price").encoder(np.arange(20)).state_dict() for text in (rows, other)]
    assert states[0] == states[1]


def test_statistics_do_not_depend_on_the_order_of_rows(read, rng):
    table = read(TRAINING, "price")
    assert table.encoder(rng.permutation(40)).state_dict() == table.encoder(range(40)).state_dict()


# -- state -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", ["price", "colour"])
def test_a_saved_encoder_encodes_to_the_same_bits(read, tmp_path, target):
    table = read(TRAINING, target)
    encoder = table.encoder(range(30))
    mt.save({"encoder": encoder.state_dict()}, tmp_path / "m.npz")
    loaded = mt.tables.Encoder.from_state_dict(mt.load(tmp_path / "m.npz")["encoder"])
    assert loaded.state_dict() == encoder.state_dict() and repr(loaded) == repr(encoder)
    assert loaded.encode(table).numpy().tobytes() == encoder.encode(table).numpy().tobytes()
    assert loaded.encode_target(table).tolist() == encoder.encode_target(table).tolist()
    assert loaded.notes == encoder.notes and loaded.classes == encoder.classes and loaded.target == target


def test_a_state_is_not_shared(read):
    encoder = read(TRAINING, "colour").encoder(range(30))
    encoder.state_dict()["columns"].clear()
    encoder.classes.clear()
    assert encoder.inputs == 3 and encoder.outputs == 2


def spoiled():
    """Pairs of keys on the way into a state, and what is put there; DELETED to take it away."""
    for key in ("columns", "target", "names", "header", "decimal", "notes", "version"):
        yield (key,), DELETED
        yield (key,), 5
    yield ("columns",), []
    yield ("version",), 2
    for index, keys in enumerate((("mean", "std", "median", "gaps"), ("categories", "pooled", "shares", "missing"),
                                  ("order",))):
        for key in ("name", "kind", *keys):
            yield ("columns", index, key), DELETED
            yield ("columns", index, key), None
            yield ("columns", index, key), ["x", "x"]
    yield ("columns", 0, "std"), 0.0
    yield ("columns", 0, "std"), -1.0
    yield ("columns", 0, "mean"), float("nan")
    yield ("columns", 0, "surplus"), 1
    yield ("columns", 0, "name"), "colour"
    yield ("columns", 1, "shares"), [0.5]
    yield ("target", "std"), 0
    yield ("target", "kind"), "clustering"


DELETED = object()


@pytest.mark.parametrize(("way", "value"), list(spoiled()))
def test_a_damaged_state_is_refused_in_a_sentence(read, way, value):
    state = read(TRAINING, "price").encoder(range(40)).state_dict()
    *path, last = way
    inner = state
    for key in path:
        inner = inner[key]
    if value is DELETED:
        del inner[last]
    else:
        inner[last] = value
    with pytest.raises(ValueError, match=r"expected the state_dict\(\) of an Encoder"):
        mt.tables.Encoder.from_state_dict(state)


@pytest.mark.parametrize("state", [None, 5, [], {}, "state", {"weight": mt.ones(2)}])
def test_what_is_no_state_is_refused(state):
    with pytest.raises(ValueError, match="expected the state_dict"):
        mt.tables.Encoder.from_state_dict(state)


# -- round trips -------------------------------------------------------------------------------------------------------

WORDS = st.text("abcxyzäéßя ,;|'\"\n\t.", min_size=1, max_size=6).map(str.strip).filter(
    lambda cell: any(letter.isalpha() for letter in cell))
ENCODINGS = ("utf-8", "utf-8-sig", "utf-16", "utf-32")


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), rows=st.integers(2, 12), delimiter=st.sampled_from(",;\t|"), decimal=st.sampled_from(".,"),
       encoding=st.sampled_from(ENCODINGS), end=st.sampled_from(["\n", "\r\n", "\r"]), packed=st.booleans(),
       quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC]))
def test_what_csv_writes_is_read_back(data, rows, delimiter, decimal, encoding, end, packed, quoting, tmp_path):
    numbers = data.draw(st.lists(st.decimals(-9999, 9999, places=2), min_size=rows, max_size=rows))
    columns = {"größe": [str(number).replace(".", decimal) for number in numbers],
               "count": [str(i) for i in data.draw(st.lists(st.integers(0, 50), min_size=rows, max_size=rows))],
               "text": data.draw(st.lists(WORDS, min_size=rows, max_size=rows))}
    # Python's writer leaves a line break of another kind than its own without quotes.
    assume(quoting != csv.QUOTE_MINIMAL or end == "\n" or "\n" not in "".join(columns["text"]))
    names = data.draw(st.permutations(list(columns)))
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter=delimiter, lineterminator=end, quoting=quoting)
    writer.writerows([names, *zip(*(columns[name] for name in names), strict=True)])
    content = text.getvalue().encode(encoding)
    path = tmp_path / "table.csv"
    path.write_bytes(gzip.compress(content) if packed else content)
    table = mt.Table.read(path)
    assert table.columns == {name: columns[name] for name in names} and table.names == names
    assert table.format["delimiter"] == delimiter and table.format["decimal"] == decimal
    np.testing.assert_array_equal(table.numbers("größe"), [float(number) for number in numbers])


@settings(max_examples=300, deadline=None)
@given(st.text("0123456789.,-+eE' %_a", min_size=1, max_size=9), st.sampled_from(".,"))
def test_numbers_mean_what_python_says(cell, decimal):
    """With digits and a mark only, a cell is a number if Python's float() takes it; otherwise it has separators."""
    from microtensor.tables.cells import MISSING, read_numbers

    numbers = read_numbers([cell], decimal)
    try:
        plain = set(cell) <= set("0123456789+-eE" + decimal)
        expected = float(cell.replace(",", ".")) if plain else None
    except ValueError:
        expected = None
    if expected is not None:
        code = re.fullmatch(r"0\d+", cell)
        assert bool(numbers.wrong) == bool(code) and (code or numbers.values[0] == expected or numbers.infinite)
    else:
        whole = r"[+-]?[1-9]\d{0,2}([., '])\d{3}(?:\1\d{3})*"
        grouped = re.fullmatch(rf"{whole}(?:{re.escape(decimal)}\d*)?(?:[eE][+-]?\d+)?", cell)
        assert cell in MISSING or bool(numbers.wrong) == (grouped is None or grouped[1] == decimal)


def test_tables_are_not_loaded_until_asked_for():
    code = "import sys, microtensor; print('csv' in sys.modules, 'microtensor.tables' in sys.modules)"
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert process.stdout == "False False\n"
