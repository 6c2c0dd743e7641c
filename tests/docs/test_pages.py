"""Pages that are written from the code are what the code says now, and links between pages lead somewhere."""

from __future__ import annotations

import re

from crawler.audit import page_schema
from crawler.cli.meanings import MEANINGS
from crawler.cli.reference_page import reference_text
from crawler.model.reasons import Reason
from crawler.run.configuration import keys
from tests.docs.pages import ROOT, pages


def test_the_reference_is_what_the_code_says():
    assert (ROOT / "docs" / "reference.md").read_text("utf-8") == reference_text(), "run `make docs`"


def test_the_reference_has_everything():
    text = reference_text()
    for reason in Reason:
        assert f"| `{reason.value}` |" in text
        assert MEANINGS[reason]
    for key in keys():
        assert f"| `{key.name}` | `{key.option}` |" in text
    for field in page_schema()["properties"]:
        assert f"| `{field}`" in text


def test_record_md_has_the_same_fields_and_reasons():
    text = (ROOT / "docs" / "record.md").read_text("utf-8")
    for name in [*page_schema()["properties"], *(reason.value for reason in Reason)]:
        assert f"`{name}`" in text or name.startswith(("connect_", "timeout_")), name


def test_links_between_pages_lead_somewhere():
    broken = []
    for page in pages():
        text = page.read_text("utf-8")
        for target in re.findall(r"\]\(([^)\s]+)\)", text):
            if "://" in target:
                continue
            path, _, anchor = target.partition("#")
            file = (page.parent / path).resolve() if path else page
            if not file.exists() or (anchor and anchor not in anchors(file.read_text("utf-8"))):
                broken.append(f"{page.name}: {target}")
    assert not broken


def test_every_page_of_docs_is_in_the_index():
    index = (ROOT / "docs" / "README.md").read_text("utf-8")
    missing = [page.name for page in (ROOT / "docs").glob("*.md") if page.name not in index]
    assert set(missing) <= {"README.md"}


def anchors(text: str) -> set[str]:
    """What a heading is called in a link: lower case, blanks as dashes, other signs left out."""
    heads = re.findall(r"^#+ (.+)$", text, re.M)
    return {re.sub(r"[^\w\- ]", "", head.lower()).strip().replace(" ", "-") for head in heads}
