"""What MkDocs needs to be told about these pages: the regularizers' cards, and links to files outside docs/."""

import logging
import re
from pathlib import Path
from typing import Any

DOCS = Path(__file__).resolve().parents[1]
LINK = re.compile(r"\[([^\]]+)\]\((\.\./[^)#\s]+)\)")
log = logging.getLogger("mkdocs.hooks")  # in strict mode a warning fails the build


def on_config(config: Any) -> Any:
    """Every card, in the order of its name."""
    cards = [path.relative_to(DOCS).as_posix() for path in sorted(DOCS.glob("regularizers/*.md"))]
    config.nav = [{"Regularizers": cards} if "Regularizers" in entry else entry for entry in config.nav]
    return config


def on_page_markdown(markdown: str, *, page: Any, config: Any, **_: Any) -> str:
    """A link to code leads to the repository, where its address is known, and is plain text otherwise."""

    def rewrite(match: re.Match[str]) -> str:
        text, target = match.groups()
        path = ((DOCS / page.file.src_uri).parent / target).resolve()
        if path.is_relative_to(DOCS):
            return match[0]
        if not path.exists():
            log.warning("%s links to %s, which does not exist", page.file.src_uri, target)
        name = path.relative_to(DOCS.parent).as_posix()
        if config.repo_url:
            return f"[{text}]({config.repo_url.rstrip('/')}/blob/HEAD/{name})"
        return f"`{text}`" if text.strip("/`") in name else f"{text} (`{name}`)"

    return LINK.sub(rewrite, markdown)
