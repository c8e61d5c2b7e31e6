"""From sweep files and the command line to combinations of overrides."""

import pytest

from rdrop_exp import launch
from rdrop_exp.launch.errors import SweepError
from rdrop_exp.launch.grids import Sweep, combinations, combine, listing, read_sweep
from rdrop_exp.launch.overrides import Reader, in_grammar


class Groups:
    """Stands in for Hydra's loader, of which the grammar asks only this."""

    def get_group_options(self, group, results_filter=None, config_name=None, overrides=None):
        return ["adam", "adamw", "sgd"] if group == "optimizer" else []


@pytest.fixture
def reader():
    return Reader(Groups())


@pytest.fixture
def write(tmp_path):
    def write(text, name="demo"):
        (tmp_path / f"{name}.yaml").write_text(text)
        return str(tmp_path)

    return write


def expand(reader, *lines, sweep=None):
    return [
        " ".join(one.texts) for one in combinations(combine(sweep or Sweep(), [reader.factor(line) for line in lines]))
    ]


@pytest.mark.parametrize(
    ("line", "values"),
    [
        ("a=1,2", ["a=1", "a=2"]),
        ("a=choice(x,y)", ["a=x", "a=y"]),
        ("a=range(1,4)", ["a=1", "a=2", "a=3"]),
        ("a=range(0.1,0.4,0.1)", ["a=0.1", "a=0.2", "a=0.3"]),
        ("optimizer=glob(adam*)", ["optimizer=adam", "optimizer=adamw"]),
        ("a=[1,2],[3]", ["a=[1,2]", "a=[3]"]),
        ("a=sort(3,1,2)", ["a=1", "a=2", "a=3"]),
        ("+a=1,2", ["+a=1", "+a=2"]),
        ("++a.b=1", ["++a.b=1"]),
        ("~a", ["~a"]),
        ("a='x y',z", ["a='x y'", "a=z"]),
        ("a=null,true,0.10", ["a=null", "a=True", "a=0.1"]),
        ("a=1,1,2", ["a=1", "a=2"]),
    ],
)
def test_hydra_grammar(reader, line, values):
    assert [row[0] for row in reader.factor(line).rows] == values


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("a=interval(0,1)", "is an interval"),
        ("a={b", "a={b cannot be parsed: check"),
        ("a=b,", "a=b, cannot be parsed: check"),
        ("optimizer=glob(x*)", "has no values"),
    ],
)
def test_what_has_no_list_of_values_is_refused_in_one_sentence(reader, line, reason):
    with pytest.raises(SweepError, match=reason) as error:
        reader.factor(line)
    assert "\n" not in str(error.value)


def test_the_command_line_alone_is_a_product(reader):
    assert expand(reader, "a=1,2", "b=3,4") == ["a=1 b=3", "a=1 b=4", "a=2 b=3", "a=2 b=4"]
    assert expand(reader) == [""]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("rdrop", "rdrop"),
        ("a/b-c.d", "a/b-c.d"),
        ("1", "'1'"),
        ("true", "'true'"),
        ("it's", r"'it\'s'"),
        ("a,b", "'a,b'"),
        ("", "''"),
        (None, "null"),
        (True, "true"),
        (1e-05, "1e-05"),
        ([0.1, "x y"], "[0.1,'x y']"),
        ({"a": [1]}, "{a:[1]}"),
    ],
)
def test_values_of_files_keep_their_type(reader, value, text):
    assert in_grammar(value) == text
    parsed = reader.parse(f"a={text}").value()
    assert parsed == value
    assert type(parsed) is type(value)


def test_a_union_of_grids_with_common_overrides_pairs_and_seeds(reader, write):
    folder = write(
        """
        title: A demo
        answers: Which one?
        baseline: reg=none
        overrides: {epochs: 5, reg: shadowed}
        repeat: 2
        grids:
          - overrides: {reg: none}
          - overrides: {reg: "drop,path", rate: [0.1, 0.2]}
            together:
              - {passes: [2, 4], batch: [128, 64]}
            repeat: {seed: [7]}
        """
    )
    sweep = read_sweep(reader, folder, "demo")
    assert sweep.texts == {"title": "A demo", "answers": "Which one?", "baseline": "reg=none"}
    found = expand(reader, sweep=sweep)
    assert found[:2] == ["reg=none epochs=5 seed=0", "reg=none epochs=5 seed=1"]
    assert found[2] == "reg=drop rate=0.1 passes=2 batch=128 seed=7 epochs=5"
    assert found[3] == "reg=drop rate=0.1 passes=4 batch=64 seed=7 epochs=5"
    assert len(found) == 2 + 2 * 2 * 2


def test_equal_combinations_of_two_grids_are_one(reader, write):
    folder = write("grids: [{overrides: {a: '1,2'}}, {overrides: {a: '2,3'}}]")
    assert expand(reader, sweep=read_sweep(reader, folder, "demo")) == ["a=1", "a=2", "a=3"]


UNION = """
grids:
  - overrides: {reg: none}
  - overrides: {reg: "drop,path", alpha: [0.1, 0.5]}
  - overrides: {reg: pair}
    together: [{alpha: [1.0, 2.0], passes: [2, 4]}]
"""


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["seed=0,1", "reg=none"], ["reg=none seed=0", "reg=none seed=1"]),
        (["reg=drop"], ["reg=drop alpha=0.1", "reg=drop alpha=0.5"]),
        (["reg=none,pair"], ["reg=none", "reg=pair alpha=1.0 passes=2", "reg=pair alpha=2.0 passes=4"]),
        (["reg=path,pair", "alpha=0.5,2.0"], ["reg=path alpha=0.5", "reg=pair alpha=2.0 passes=4"]),
        (["reg=drop", "alpha=0.3"], ["reg=drop alpha=0.3"]),
        (["reg=other", "alpha=1.0"], ["reg=other alpha=1.0", "reg=other alpha=1.0 passes=2"]),
    ],
)
def test_the_command_line_multiplies_narrows_or_replaces(reader, write, words, found):
    sweep = read_sweep(reader, write(UNION), "demo")
    if "alpha=0.3" in words:
        sweep.grids.pop()
    assert expand(reader, *words, sweep=sweep) == found


def test_a_value_beside_its_pair_is_refused(reader, write):
    with pytest.raises(SweepError, match=r"alpha=0.3 is not one of the values that the sweep pairs with passes"):
        expand(reader, "alpha=0.3", sweep=read_sweep(reader, write(UNION), "demo"))


def test_values_that_exist_but_never_together_are_refused(reader, write):
    with pytest.raises(SweepError, match=r"no grid of sweep=demo combines reg=drop, alpha=1.0"):
        expand(reader, "reg=drop", "alpha=1.0", sweep=read_sweep(reader, write(UNION), "demo"))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("titel: x", "titel is not a key of .*demo.yaml; did you mean title"),
        ("grids: [{overides: {a: 1}}]", "overides is not a key of a grid of .*; did you mean overrides"),
        ("grids: {a: 1}", "must be a list of mappings"),
        ("grids: [{overrides: [a]}]", "overrides must be a mapping"),
        ("grids: [{together: [{a: [1, 2], b: [1]}]}]", "a has 2, b has 1"),
        ("grids: [{overrides: {a: 1}, together: [{a: [1, 2], b: [1, 2]}]}]", "sets a twice"),
        ("grids: [{overrides: {a: []}}]", "a=.. has no values"),
        ("- a", "must hold a mapping"),
        ("a: [", "cannot be read"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_in_one_sentence(reader, write, text, reason):
    with pytest.raises(SweepError, match=reason) as error:
        read_sweep(reader, write(text), "demo")
    assert "\n" not in str(error.value)


def test_an_unknown_sweep_names_the_nearest_and_the_listing_all(reader, write):
    folder = write("title: What alpha gains", "alpha")
    write("{}", "cutoff")
    with pytest.raises(SweepError, match=r"sweep=alpa is not a sweep in .*; did you mean alpha"):
        read_sweep(reader, folder, "alpa")
    assert listing(folder) == "alpha   What alpha gains\ncutoff"


@pytest.mark.parametrize(
    ("word", "rewritten"),
    [
        ("sweep=alpha", "hydra.sweeper.sweep=alpha"),
        ("reg.alpha=0.5", "reg.alpha=choice(0.5)"),
        ("reg.alpha=1,2", "reg.alpha=choice(1,2)"),
        ("reg.alpha=range(1,3)", "reg.alpha=range(1,3)"),
        ("reg.name='a b'", "reg.name=choice('a b')"),
        ("hydra.launcher.slots=2", "hydra.launcher.slots=2"),
        ("+reg.new=1", "+reg.new=1"),
        ("reg=drop", "reg=drop"),
        ("reg.alpha=", "reg.alpha="),
        ("--cfg", "--cfg"),
    ],
)
def test_arguments_leave_to_the_sweeper_what_only_it_can_do(word, rewritten):
    assert launch.arguments(["app", "-m", word]) == ["app", "-m", rewritten]
    assert launch.arguments(["app", word]) == ["app", word]
