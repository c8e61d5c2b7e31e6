"""JSON and YAML of files that anyone may have written. Needs no torch."""

import json
import re
from pathlib import Path
from typing import Any

MOST_NESTED = 64
"""Levels of lists and dictionaries that a readable file may have."""


def read_json(path: str | Path) -> dict[str, Any]:
    """The JSON object in a file that anyone may have written."""
    with open(path, encoding="utf-8") as file:
        text = file.read()
    try:
        value = json.loads(text)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    if not isinstance(value, dict):
        raise ValueError("no JSON object")
    if text.count("{") + text.count("[") > MOST_NESTED and _depth(value) > MOST_NESTED:
        raise ValueError("nested too deeply")
    if max(map(len, text.splitlines())) > 300 and re.search(r"\d{300}", text):
        raise ValueError("a number of 300 digits or more")
    if "\\u" in text:
        json.dumps(value, ensure_ascii=False).encode()  # ValueError for half of a surrogate pair
    return value


def _depth(value: Any) -> int:
    """Levels of nesting, without recursion."""
    depth, level = 0, [value]
    while level := [inner for outer in level if isinstance(outer, dict | list) for inner in _items(outer)]:
        depth += 1
    return depth


def _items(value: dict[str, Any] | list[Any]) -> list[Any]:
    return list(value.values()) if isinstance(value, dict) else value


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file that anyone may have written; ValueError or OSError where there is none."""
    import yaml  # type: ignore[import-untyped]

    text, loader, depth = path.read_text(encoding="utf-8"), getattr(yaml, "CSafeLoader", yaml.SafeLoader), 0
    try:
        # Its events first: aliases may stand for billions of nodes, and deep nesting overflows libyaml's stack.
        for event in yaml.parse(text, Loader=loader):
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > MOST_NESTED or isinstance(event, yaml.AliasEvent):
                raise ValueError("nested too deeply" if depth > MOST_NESTED else "YAML aliases")
        values = yaml.load(text, Loader=loader)
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from error
    if not isinstance(values, dict):
        raise ValueError(f"no mapping in {path.name}")
    return values
