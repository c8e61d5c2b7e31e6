"""The options as tables of the README, from options.py: `python -m hydra_slots.reference` prints them."""

import ast
import dataclasses
import inspect

from hydra_slots.options import PREFIXES
from hydra_slots.overrides import in_grammar


def table(cls: type) -> str:
    """Name, default and docstring of each option that a dataclass adds to the one it extends, if any."""
    lines = [f"| `{PREFIXES[cls]}.` | default | meaning |", "|---|---|---|"]
    body = ast.parse(inspect.getsource(cls)).body[0]
    assert isinstance(body, ast.ClassDef)
    texts = dict(zip(map(name_of, body.body), map(text_of, body.body[1:]), strict=False))
    for field in (each for each in dataclasses.fields(cls) if each.name in texts):
        default = field.default if field.default_factory is dataclasses.MISSING else field.default_factory()
        lines.append(f"| `{field.name}` | {in_grammar(default)} | {texts[field.name]} |")
    return "\n".join(lines)


def name_of(statement: ast.stmt) -> str:
    """The name that an annotated assignment sets; empty for other statements."""
    return (
        statement.target.id if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name) else ""
    )


def text_of(statement: ast.stmt) -> str:
    """The text of a docstring on one line; empty for other statements."""
    match statement:
        case ast.Expr(ast.Constant(str() as text)):
            return " ".join(text.split()).replace("|", "\\|")
    return ""


if __name__ == "__main__":
    print("\n\n".join(map(table, PREFIXES)))
