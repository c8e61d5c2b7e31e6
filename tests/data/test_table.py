"""Tables of image names and labels: columns, delimiters, encodings, splits and groups, and what is refused."""

from pathlib import Path

import numpy as np
import pytest

from rdrop_exp.config.schema import OptionError
from tests.data.helpers import check_sets, image, load, sizes, table


def csv_set(root: Path, **values: object):  # type: ignore[no-untyped-def]
    return load(root, "image_csv", **values)


def images(root: Path, count: int) -> list[str]:
    for i in range(count):
        image(root / f"{i}.png", i)
    return [f"{i}.png" for i in range(count)]


# -- columns and splits -----------------------------------------------------------------------------------------------


def test_table_with_splits(tmp_path: Path) -> None:
    rows = []
    for i in range(24):
        image(tmp_path / "images" / f"{i}.png", i)
        split = ("train", "TRAINING", "Valid", "test")[i % 4]
        rows.append(
            {"id": "7", "image": f"{i}.png" if i % 3 else f"images/{i}.png", "label": f"c{i % 8 // 4}", "split": split}
        )
    table(tmp_path, rows)
    source = csv_set(tmp_path)
    check_sets(source)
    assert sizes(source) == {"train": 12, "validation": 6, "test": 6}
    numbers = [int(Path(path).stem) for path in source.paths or []]
    assert [i % 8 // 4 for i in numbers] == source.labels.tolist()
    assert {numbers[i] % 4 for i in source.sets["test"]} == {3}
    assert source.summary == (
        f"{tmp_path.name}: 2 classes (c0, c1), 12 train, 6 validation (column split), 6 test (column split)"
    )


def test_table_of_numbers_without_splits(tmp_path: Path) -> None:
    rows = [{"file": name, "grade": str((2, 10, -1)[i % 3])} for i, name in enumerate(images(tmp_path, 30))]
    table(tmp_path, rows, "all.tsv")
    source = csv_set(tmp_path, csv="all.tsv", image_column="file", label_column="grade")
    check_sets(source)
    assert source.labels[:3].tolist() == [1, 2, 0]  # by value: -1, 2, 10
    assert sizes(source) == {"train": 22, "validation": 2, "test": 6}


def test_table_with_a_validation_split_but_no_test(tmp_path: Path) -> None:
    split = {True: "validation", False: ""}
    rows = [
        {"image": name, "label": "ab"[i % 2], "split": split[i >= 20]} for i, name in enumerate(images(tmp_path, 30))
    ]
    table(tmp_path, rows)
    source = csv_set(tmp_path)
    check_sets(source)
    assert sizes(source) == {"train": 16, "validation": 10, "test": 4}
    assert "20 rows without a split used for training" in source.summary


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_delimiters_encodings_and_headers_of_any_case(tmp_path: Path, delimiter: str, encoding: str) -> None:
    lines = [[" Image ", "LABEL", "Split", "remark, or; both"]]
    splits = ["train", "train", "val", "test"]
    for i, name in enumerate(images(tmp_path, 16)):
        lines.append([name, "café" if i % 2 else "thé", splits[i // 2 % 4], '"x,y;z"'])
    header = f'"{lines[0][3]}"'
    text = "\n".join(delimiter.join([*line[:3], header if line is lines[0] else line[3]]) for line in lines)
    (tmp_path / "labels.csv").write_bytes(text.encode(encoding))
    source = csv_set(tmp_path)
    assert sizes(source) == {"train": 8, "validation": 4, "test": 4}
    assert source.counts["test"] == {"café": 2, "thé": 2}


def test_the_first_line_of_excel_names_the_delimiter(tmp_path: Path) -> None:
    rows = [f"{name};{'ab'[i % 2]}" for i, name in enumerate(images(tmp_path, 20))]
    (tmp_path / "labels.csv").write_text("\r\n".join(["sep=;", "image;label", *rows]), newline="")
    assert sizes(csv_set(tmp_path)) == {"train": 14, "validation": 2, "test": 4}
    assert csv_set(tmp_path, split_seed=1).classes == 2


@pytest.mark.parametrize("labels", [["1", "2", "nan"], ["-inf", "3", "inf"]])
def test_labels_that_are_no_finite_numbers_have_an_order(tmp_path: Path, labels: list[str]) -> None:
    table(tmp_path, [{"image": name, "label": labels[i % 3]} for i, name in enumerate(images(tmp_path, 30))])
    assert list(csv_set(tmp_path).counts["train"]) == sorted(labels)


def test_the_split_column_has_any_name(tmp_path: Path) -> None:
    usage = ["Training", "Training", "Testing"]
    rows = [{"image": name, "label": "ab"[i % 2], "Usage": usage[i % 3]} for i, name in enumerate(images(tmp_path, 18))]
    table(tmp_path, rows)
    with pytest.raises(OptionError, match=r"column Usage looks like a split; set dataset\.split_column=Usage"):
        csv_set(tmp_path)
    assert sizes(csv_set(tmp_path, split_column="usage"))["test"] == 6
    table(tmp_path, [row | {"label": usage[i % 3]} for i, row in enumerate(rows)], "labels.csv")
    with pytest.raises(OptionError, match=r"split_column=parts: no such column"):
        csv_set(tmp_path, split_column="parts")


def test_labels_that_are_names_of_splits_are_labels(tmp_path: Path) -> None:
    table(tmp_path, [{"image": name, "label": ("train", "test")[i % 2]} for i, name in enumerate(images(tmp_path, 20))])
    assert csv_set(tmp_path).counts["train"].keys() == {"test", "train"}


# -- names of files ---------------------------------------------------------------------------------------------------


def test_a_name_without_extension_finds_its_only_match(tmp_path: Path) -> None:
    for i in range(10):
        image(tmp_path / "images" / "deep" / f"img.{i}.jpg", i)
    rows = [{"image": f"deep/img.{i}", "label": "ab"[i % 2]} for i in range(10)]
    rows[3]["image"] = "deep\\img.3.jpg"
    table(tmp_path, rows)
    source = csv_set(tmp_path)
    assert source.paths is not None
    assert sorted(Path(path).name for path in source.paths) == [f"img.{i}.jpg" for i in range(10)]
    image(tmp_path / "images" / "deep" / "img.7.png", 7)
    with pytest.raises(OptionError, match=r"line 9: deep/img\.7 could be img\.7\.jpg or img\.7\.png"):
        csv_set(tmp_path)


def test_repeated_rows_are_merged(tmp_path: Path) -> None:
    rows = [{"image": name, "label": "ab"[i % 2]} for i, name in enumerate(images(tmp_path, 20))]
    table(tmp_path, [*rows, rows[3], rows[4] | {"image": f"./{rows[4]['image']}"}])
    source = csv_set(tmp_path)
    assert len(source.labels) == 20
    assert "2 repeated rows merged" in source.summary


# -- groups -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(5))
def test_groups_stay_in_one_set(tmp_path: Path, seed: int) -> None:
    names = images(tmp_path, 90)
    patient = [str(i % 30) for i in range(90)]
    table(
        tmp_path,
        [{"image": name, "label": "ab"[i % 30 % 2], "Patient": patient[i]} for i, name in enumerate(names)],
    )
    source = csv_set(tmp_path, group_column="patient", split_seed=seed)
    check_sets(source)
    assert sizes(source) == {"train": 66, "validation": 6, "test": 18}  # 22, 2 and 6 of 30 patients
    assert source.paths is not None
    of_set = {name: {int(Path(source.paths[i]).stem) % 30 for i in items} for name, items in source.sets.items()}
    assert sum(map(len, of_set.values())) == 30
    counts = np.array([list(of_class.values()) for of_class in source.counts.values()])
    assert (np.abs(counts[:, 0] - counts[:, 1]) <= 3).all()  # stratified by class


def test_each_class_stays_in_training_where_groups_are_few(tmp_path: Path) -> None:
    names = images(tmp_path, 12)
    table(tmp_path, [{"image": n, "label": "abc"[i // 4], "group": f"g{i // 2}"} for i, n in enumerate(names)])
    for seed in range(10):
        check_sets(csv_set(tmp_path, group_column="group", split_seed=seed))
    table(tmp_path, [{"image": n, "label": "abc"[i % 3], "group": "one"} for i, n in enumerate(names)])
    with pytest.raises(OptionError, match=r"dataset\.test=0\.2 cannot be split off 1 "):
        csv_set(tmp_path, group_column="group")


# -- refused ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"csv": "nowhere.csv"}, r"dataset\.csv=nowhere\.csv: file not found in dataset\.root=.*"),
        ({"image_column": "imag"}, r"dataset\.image_column=imag: .*did you mean image\?"),
        ({"image_column": ""}, r"dataset\.image_column=: no such column"),
        ({"label_column": "class"}, r"dataset\.label_column=class: no such column"),
        ({"group_column": "patent"}, r"dataset\.group_column=patent: .*did you mean patient\?"),
        ({"csv": "missing.csv"}, r"dataset\.csv=missing\.csv, line 2: image gone\.png not found"),
        ({"csv": "ending.csv"}, r"line 2: image 0\.jpg not found .*did you mean 0\.png\?"),
        ({"csv": "empty.csv"}, r"empty\.csv, line 2: no value in column label"),
        ({"csv": "split.csv"}, r"split\.csv, line 2: tests is not a split; did you mean test\?"),
        ({"csv": "untrained.csv"}, "no row for training"),
        ({"csv": "two_labels.csv"}, r"two_labels\.csv, line 4: 0\.png has label b, but a in line 2"),
        ({"csv": "two_splits.csv"}, r"two_splits\.csv, line 3: 0\.png has split test, but train in line 2"),
        (
            {"csv": "groups.csv", "group_column": "patient"},
            "line 3: patient 7 is in split test, but in train",
        ),
    ],
)
def test_tables_that_cannot_be_used(tmp_path: Path, change: dict[str, str], message: str) -> None:
    images(tmp_path, 2)
    row = {"image": "0.png", "label": "a", "split": "train", "patient": "7"}
    other = row | {"image": "1.png"}
    table(tmp_path, [row])
    table(tmp_path, [row | {"image": "gone.png"}], "missing.csv")
    table(tmp_path, [row | {"image": "0.jpg"}], "ending.csv")
    table(tmp_path, [row | {"label": " "}], "empty.csv")
    table(tmp_path, [row | {"split": "tests"}], "split.csv")
    table(tmp_path, [row | {"split": "test"}], "untrained.csv")
    table(tmp_path, [row, other, row | {"label": "b"}], "two_labels.csv")
    table(tmp_path, [row, row | {"split": "test"}], "two_splits.csv")
    table(tmp_path, [row, other | {"split": "Test"}], "groups.csv")
    with pytest.raises(OptionError, match=message):
        csv_set(tmp_path, **change)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "image,label\n0.png,caf\xe9\n".encode("latin-1"),
            r"labels\.csv, line 2: .*save the table as CSV in UTF-8",
        ),
        ("image,label\n0.png,a\n".encode("utf-16-le"), r"labels\.csv is not a text; save the table as CSV in UTF-8"),
        (b"image,label\n0.png,a,b\n", r"line 2: 3 values for 2 columns; put .* in quotes"),
        (b"image,label,split\n0.png,a,train\n0.png,b\n", "line 3: 2 values for 3 columns"),
        (b"Image,IMAGE,label\n0.png,1,a", r"dataset\.image_column=image: 2 columns"),
        (b'image,label\n"0.png,a\n', "line 2: unexpected end of data"),
        (b"", r"labels\.csv is empty"),
    ],
)
def test_texts_that_cannot_be_used(tmp_path: Path, text: bytes, message: str) -> None:
    images(tmp_path, 1)
    (tmp_path / "labels.csv").write_bytes(text)
    with pytest.raises(OptionError, match=message):
        csv_set(tmp_path)
