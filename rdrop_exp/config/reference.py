"""The reference of every option, in Markdown, from options.py.

python -m rdrop_exp.config.reference > docs/options.md     (or: make docs)
"""

import ast
import dataclasses
import inspect
import json
import textwrap
from collections.abc import Iterator
from itertools import pairwise
from types import NoneType, UnionType
from typing import Any, Literal, cast, get_args, get_origin

from rdrop_exp.config.options import Options
from rdrop_exp.config.schema import hints, unwrap

HEADER = """# Options

Written by `make docs` from [rdrop_exp/config/options.py](../rdrop_exp/config/options.py); do not edit.

Set an option with `group.option=value`, for example `regularizer.alpha=0.5`. `null` means no value. *Default* is the
value before the presets of [conf/](../conf) are applied; `rdrop-exp --cfg job` prints the values after them. *Identity*
says whether the option is part of a trial's identity: "yes" if it can change the result, so that a trial with another
value is a different trial; "no" if it cannot.
"""
TYPES = {int: "integer", float: "number", bool: "true, false", str: "text", NoneType: "null", dict: "mapping"}
TABLE = "\n| option | type | default | range | identity | meaning |\n|---|---|---|---|---|---|\n"


def reference() -> str:
    """The whole page: one table for the top level and one for each group."""
    fields = {
        field.name: hint for field, hint in zip(dataclasses.fields(Options), hints(Options).values(), strict=True)
    }
    groups = {name: hint for name, hint in fields.items() if dataclasses.is_dataclass(unwrap(hint)[0])}
    texts = descriptions(Options)
    pages = [HEADER, "\n## Top level\n", TABLE, *rows(Options, "", skip=groups)]
    for name, hint in groups.items():
        plain, _, runtime = unwrap(hint)
        pages += [f"\n## {name}\n\n{texts[name]}\n", TABLE, *rows(cast(type, plain), f"{name}.", runtime=runtime)]
    return "".join(pages)


def rows(cls: type, prefix: str, *, runtime: bool = False, skip: Any = ()) -> Iterator[str]:
    """A line of the table for each field of dataclass `cls` but those in `skip`."""
    texts, known = descriptions(cls), hints(cls)
    for field in dataclasses.fields(cls):
        if field.name in skip:
            continue
        plain, bounds, own_runtime = unwrap(known[field.name])
        default = field.default if field.default_factory is dataclasses.MISSING else field.default_factory()
        cells = [
            f"`{prefix}{field.name}`",
            type_name(plain),
            f"`{json.dumps(default)}`" if default != "" else "empty",
            str(bounds or ""),
            "no" if runtime or own_runtime else "yes",
            texts[field.name],
        ]
        yield f"| {' | '.join(cells)} |\n"


def type_name(hint: Any) -> str:
    if isinstance(hint, UnionType):
        return " or ".join(map(type_name, get_args(hint)))
    if get_origin(hint) is Literal:
        return ", ".join(f"`{value}`" for value in get_args(hint))
    if get_origin(hint) is list:
        return f"list of {type_name(get_args(hint)[0])}s".replace("texts", "text")
    return TYPES[get_origin(hint) or hint]


def descriptions(cls: type) -> dict[str, str]:
    """Field → the string under it, of `cls` and its bases."""
    texts: dict[str, str] = {}
    for base in [c for c in reversed(cls.__mro__) if dataclasses.is_dataclass(c)]:
        body = cast(ast.ClassDef, ast.parse(textwrap.dedent(inspect.getsource(base))).body[0]).body
        for field, text in pairwise(body):
            if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr):
                constant = cast(ast.Constant, text.value)
                texts[cast(ast.Name, field.target).id] = " ".join(str(constant.value).split())
    return texts


if __name__ == "__main__":
    print(reference(), end="")
