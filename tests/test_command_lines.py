"""A thousand mutated command lines: each gives options, or one sentence that names the option, and writes nothing."""

import copy
import os
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hydra import compose
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from hydra_slots import arguments as rewrite
from hydra_slots.errors import SweepError
from hydra_slots.hydra_private import apply_overrides
from hydra_slots.overrides import in_grammar
from rdrop_exp.cli import check_chosen, explain
from rdrop_exp.config.arguments import arrange, type_of
from rdrop_exp.config.compose import options_of, packaged
from rdrop_exp.config.options import Options
from rdrop_exp.config.schema import LONGEST_LIST, OptionError, option_names

JARGON = (
    "Traceback", "Exception", "mismatched input", "no viable alternative", "token recognition", "extraneous input",
    "full_key", "object_type", "ConfigStore", "OmegaConf", "ANTLR", "search path", "interpolation", "Interpolation",
)  # fmt: skip
GROUPS = sorted(path.name for path in packaged("conf").iterdir() if path.is_dir() and path.name != "hydra")
NAMES = [name for name in option_names(Options) if name not in GROUPS]

WRONG_TYPE = ["abc", "true", "1.5", "[1]", "[a,b]", "{a:1}", "[[1]]", "1e-3", "0x10", "1_000", "yes", "-"]
OUT_OF_RANGE = ["-1", "-0.5", "2", "1e9", "-1e300", "1e308", "-0.0", "0"]
GRAMMAR = [
    "{a", "[1", "a]", "}", "'", '"', "'a", 'a"', "a,b", ",", "a,", ",a", "a,,b", "a=b", "=", "$", "${", "${}", "${a}",
    "${x", "${seed}", "${oc.env:HOME}", "${oc.env:NOPE}", "${oc.decode:1}", "${nope:1}", "${a.b.c}", "${.a}", "\\",
    "(", "f(", "f()", "range(1,3)", "choice(1,2)", "choice()", "interval(0,1)", "glob(*)", "sort(2,1)", "shuffle(1)",
    "int(x)", "@", "#", "a:b", "???", "a b", " ", "!", "&", ";", "`", "~", "^", "%", "*", "{a:b:c}", "[,]", "{}",
    "[]", "{:}", "{1:2}", "<", ">", "|",
]  # fmt: skip
NULL = ["null", "Null", "NULL", "~", "None", "none"]
LISTS = ["[]", "[null]", "[nan,1]", "[inf]", "[0.1,0.2]", "[1,2,3]", "[a", "['']", "[true]", "[0.5,0.1]", "[-1,1]"]
INFINITE = ["inf", "-inf", "nan", ".inf", "+inf", "Infinity", "-nan", "1e400", "-1e999"]
HUGE = [
    "9" * 26, "-" + "9" * 400, "x" * 5000, "1" * 4301, "[" * 50, "{" * 40, "a," * 300, "[" + "1," * 500 + "1]",
    "/" * 300,
]  # fmt: skip
UNICODE = [
    "ä", "données", "日本語", "\u202ealpha", "🙂", "a\nb", "a\tb", "\x1b[31m", "\udcff", "０", "²", "½", "a\u0301",
    "\u00a0", "−1", "١", "\u2028", "\x07",
]  # fmt: skip
KINDS: dict[str, list[str]] = {
    "type": WRONG_TYPE, "range": OUT_OF_RANGE, "grammar": GRAMMAR, "null": NULL, "list": LISTS, "infinity": INFINITE,
    "huge": HUGE, "empty": ["", "''", '""'], "unicode": UNICODE,
}  # fmt: skip
CHOICES = [
    "", "null", "3", "-1", "nope", "../model/vit", "/etc/passwd", "a.yaml", "[rdrop,none]", "rdrop,", "ä", "x" * 400,
    "{a:1}", "${seed}", "'", "true", "none ", "RDROP", "range(1,2)", "\u2028", "*", "${", "a,b", "???",
]  # fmt: skip
OTHERS = [
    "", " ", "=", "=1", "==", "a", ".", "..=1", "a.b.c=1", "regularizer.=1", ".alpha=1", "regularizer..alpha=1", "+",
    "++", "~", "~=", "~regularizer.alpha=1", "~nope", "-", "--", "---=1", "-x", "--alpha", "--alpha=0.5",
    "--regularizer.alpha=2", "--lr=1", "--nope=1", "regularizer", "regularizer.alpha", "seed:1", "seed 1", "seed==1",
    "hydra.launcher.nope=1", "hydra.nope=1", "ä=1", "x" * 3000, "x" * 3000 + "=1", "seed\n=1", "\x1b[31m=1",
    "\udcff=1", "model.args=1", "model.args=null", "model.args.=1", "optimizer.args=[1]", "model.args.a.b.c=1",
    "model.args.drop_rate=" + "9" * 300, "model.args={num_classes:3}", "regularizer@x=rdrop", "regularizer@=rdrop",
    "regularizer@a:b=rdrop", "@=1", "sead=1", "0=1", "seed[0]=1", "dataset.mean[0]=1", "logger.tags.0=a", "seed.x=1",
    "name.x.y=1", "experiment.x=1", "debug.x=1", "experiment=", "debug=null", "model.args.${seed}=1",
]  # fmt: skip


def typo(word: str, dice: random.Random) -> str:
    """The word with one letter changed, doubled, dropped or swapped."""
    at = dice.randrange(len(word))
    return dice.choice([
        word[:at] + dice.choice("abcdefghijklmnopqrstuvwxyz_.") + word[at + 1 :],
        word[:at] + word[at] + word[at:],
        word[:at] + word[at + 1 :] or "x",
        word[:at] + word[at : at + 2][::-1] + word[at + 2 :],
    ])  # fmt: skip


@dataclass(frozen=True, slots=True)
class Line:
    """A mutated command line."""

    arguments: tuple[str, ...]
    named: tuple[str, ...]
    """Of these the message names one."""


def lines(dice: random.Random, count: int) -> Iterator[Line]:
    """Every group, every odd argument, and then every option in turn with mutations of all kinds."""
    for argument in OTHERS:
        yield Line((argument,), ())
    for number, value in enumerate(CHOICES):
        group = GROUPS[number % len(GROUPS)]
        yield Line((f"{group}={value}",), (group,))
    for group in GROUPS:
        choices = [path.stem for path in (packaged("conf") / group).glob("*.yaml")]
        yield Line((f"{group}={typo(dice.choice(choices), dice)}",), (group,))
        yield Line((f"{typo(group, dice)}={dice.choice(choices)}",), ())
    made = len(OTHERS) + len(CHOICES) + 2 * len(GROUPS)
    for number in range(count - made):
        name = NAMES[number % len(NAMES)]
        if number % 10 == 9:
            wrong = typo(name, dice)
            yield Line((f"{wrong}=1",), (wrong, name))
            continue
        values = KINDS[dice.choice(list(KINDS))]
        yield Line((f"{dice.choice(['', '', '', '', '+', '++', '~'])}{name}={dice.choice(values)}",), (name,))


class Command:
    """What the command does before it trains; Hydra composes a choice of groups once, as a sweep's planner has it."""

    def __init__(self) -> None:
        self.parser = OverridesParser.create()
        self.base: DictConfig = compose("train", [])

    def options(self, arguments: list[str]) -> Options:
        words = rewrite(arrange(arguments))
        overrides = self.parser.parse_overrides(words)
        plain = all(type_of(o.key_or_group) is not None or "." in o.key_or_group for o in overrides)
        if not plain or any(o.key_or_group in GROUPS or o.is_sweep_override() or o.package for o in overrides):
            cfg = compose("train", words)
        else:
            cfg = copy.deepcopy(self.base)
            apply_overrides(overrides, cfg)
        options = options_of(cfg)
        check_chosen(options, words)
        return options

    def refusal(self, arguments: list[str]) -> str:
        """The message; empty where the options are valid."""
        words = arguments
        try:
            words = rewrite(arrange(arguments))
            self.options(arguments)
        except (OptionError, SweepError, HydraException, OmegaConfBaseException) as error:
            return explain(error, words)
        return ""


def faults(line: Line, message: str) -> list[str]:
    """What is wrong with a message."""
    words = message.replace("dataset.interpolation", "")
    found = [f"says {word}" for word in JARGON if word in words and not any(word in a for a in line.arguments)]
    if len(message) > LONGEST_LIST + 60:
        found.append(f"has {len(message)} characters")
    if not message.isprintable():
        found.append("has control characters, or several lines")
    if line.named and not any(name in message for name in line.named):
        found.append("names no option")
    return found


@pytest.mark.usefixtures("hydra_config")
def test_a_thousand_mutated_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    command, wrong, refused = Command(), [], 0
    for line in lines(random.Random(0), 1000):
        try:
            message = command.refusal(list(line.arguments))
        except Exception as error:  # in the command: a traceback, or a line about a failed training
            wrong.append((line.arguments, repr(error)[:200], ["raises"]))
            continue
        refused += bool(message)
        if message and (bad := faults(line, message)):
            wrong.append((line.arguments, message, bad))
    assert not wrong, "\n" + "\n".join(f"{shown(arguments)}: {bad}\n    {message}" for arguments, message, bad in wrong)
    assert refused >= 500
    assert not os.listdir(tmp_path)


@pytest.mark.usefixtures("hydra_config")
def test_every_default_can_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing valid is refused: each option at its default, as the command line writes it."""
    monkeypatch.chdir(tmp_path)
    command, defaults = Command(), Options()
    for name in NAMES:
        value: Any = defaults
        for part in name.split("."):
            value = getattr(value, part)
        refusal = "" if name in ("analysis", "generate") else command.refusal([f"{name}={in_grammar(value)}"])
        assert not refusal or (name in refusal and "has no effect with regularizer=none" in refusal)


def shown(value: Any) -> str:
    return ascii(value)[:150]
