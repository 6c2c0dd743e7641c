"""Which charset a body is in, and its text: WHATWG's rules, by turbohtml's detector and codecs.

The order is HTML, 13.2.3.2 (byte order mark, the transport's label, the page's own declaration) with one
difference in the last step, where a browser guesses by locale: what is valid UTF-8 is UTF-8, the rest is
windows-1252. A declaration past the first 1,024 bytes counts as it does in a browser, which starts over when
it meets one ("change the encoding"). Charsets are named as WHATWG's Encoding names them, in lower case.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

import turbohtml
from turbohtml import detect

#: HTML, 13.2.3.2: how many bytes a declaration is looked for in.
_PRESCAN: Final = 1024
#: Beyond it a declaration may come too late, as in browsers, but not this far: finding it takes a tree.
_DECLARED: Final = 256 * 1024

_UTF8_BOM: Final = b"\xef\xbb\xbf"

#: RFC 9110, 8.3.2: the charset parameter of a Content-Type, quoted or not.
_PARAMETER: Final = re.compile(
    r";[ \t]*charset[ \t]*=[ \t]*(?:\"([^\"]*)\"|'([^']*)'|([^;, \t]*))", re.IGNORECASE
)

#: XML 1.0, 4.3.3: the encoding declaration.
_XML_DECLARATION: Final = re.compile(
    rb"<\?xml[^>]{0,200}?\sencoding\s{0,9}=\s{0,9}[\"']([A-Za-z0-9._:-]{1,40})[\"']"
)

#: Bytes that say nothing to the prescan but much to a detector of contents: those above ASCII, and ESC.
_MUTED: Final = bytes(1 if byte >= 0x80 or byte == 0x1B else byte for byte in range(256))


def sniff(body: bytes, content_type: str | None) -> str:
    """The charset of a body, by its Content-Type field: ``"utf-8"``, ``"windows-1252"``, ``"shift_jis"``, ...

    O(1) where a mark, the label or the first 1,024 bytes say it, else O(len(body)).
    """
    if body.startswith(_UTF8_BOM):
        return "utf-8"
    if body.startswith(b"\xff\xfe"):
        return "utf-16le"
    if body.startswith(b"\xfe\xff"):
        return "utf-16be"
    essence, labelled = _told(content_type) if content_type else ("", None)
    if labelled is not None:
        return labelled
    if essence in ("", "text/html", "application/xhtml+xml"):
        declared = _declared_in_html(body)
    elif essence.endswith(("/xml", "+xml")):
        declared = _declared_in_xml(body) or "utf-8"
    else:
        declared = None
    return declared or ("utf-8" if _is_utf8(body) else "windows-1252")


def named_early(body: bytes, content_type: str | None) -> str | None:
    """The charset of a page of HTML where its label or its first 1,024 bytes name it; None where :func:`sniff` has to
    look further. O(1)."""
    if body.startswith((_UTF8_BOM, b"\xff\xfe", b"\xfe\xff")):
        return None
    labelled = read_label(content_type) if content_type else None
    return labelled or _declared_early(body[:_PRESCAN])


def decode(body: bytes, charset: str) -> str:
    """The text of a body in a charset as :func:`sniff` names it, less its byte order mark.

    Never raises: malformed bytes become U+FFFD, a name that is no encoding's is windows-1252. O(len(body)).
    """
    if charset == "utf-8":
        if body.startswith(_UTF8_BOM):
            return str(memoryview(body)[3:], "utf-8", "replace")
        return body.decode("utf-8", "replace")
    try:
        text = body.decode(f"whatwg-{charset}")
    except (LookupError, ValueError):  # ValueError: a name with NUL or lone surrogates
        return body.decode("whatwg-windows-1252")
    return text.removeprefix("\ufeff") if charset.startswith("utf-16") else text


@lru_cache(maxsize=64)
def _told(content_type: str) -> tuple[str, str | None]:
    """The type, and the charset that it is said to be in."""
    essence = content_type.partition(";")[0].strip(" \t").lower()
    # RFC 8259, 8.1: UTF-8, and no parameter says otherwise.
    return essence, "utf-8" if essence.endswith(("/json", "+json")) else read_label(content_type)


def read_label(content_type: str) -> str | None:
    """The charset a Content-Type field names, or None where it names none that there is."""
    found = _PARAMETER.search(content_type)
    return _canonical(found[1] or found[2] or found[3] or "") if found else None


@lru_cache(maxsize=512)
def _canonical(label: str) -> str | None:
    # Encoding, 4.2, "get an encoding": the longest label has 19 characters.
    if not label or len(label) > 40:
        return None
    try:
        name = turbohtml.parse(b"", encoding=label).encoding
    except (LookupError, ValueError):
        return None
    return name.lower() if name else None


def _declared_in_html(body: bytes) -> str | None:
    head = body[:_PRESCAN]
    early = _declared_early(head)
    if early is not None:
        return early
    body = body[:_DECLARED]
    if b"charset" not in body.lower():
        return None
    # The default, or windows-1252 declared, or something declared further on.
    for part in (head, body) if len(body) > _PRESCAN else (head,):
        document = turbohtml.parse(part, positions=False)
        if document.encoding_confidence == "certain" and document.encoding:
            return document.encoding.lower()
    return None


def _declared_early(head: bytes) -> str | None:
    # With everything above ASCII muted, any answer but the default can only come from a declaration: 3
    # microseconds, against 17 for parsing the head.
    found = detect.detect(head.translate(_MUTED)).encoding
    return found.lower() if found is not None and found != "windows-1252" else None


def _declared_in_xml(body: bytes) -> str | None:
    # XML 1.0, appendix F: a declaration in UTF-16 without a mark is told by its zeros.
    if body.startswith(b"<\0?\0"):
        return "utf-16le"
    if body.startswith(b"\0<\0?"):
        return "utf-16be"
    found = _XML_DECLARATION.match(body)
    name = _canonical(found[1].decode("ascii")) if found else None
    # Read as ASCII, so it is not UTF-16, whatever it says (HTML says the same of its own declaration).
    return "utf-8" if name and name.startswith("utf-16") else name


def _is_utf8(body: bytes) -> bool:
    if body.isascii():
        return True
    try:
        body.decode("utf-8")
    except UnicodeDecodeError as error:
        # A body cut at the cap may end inside a character; "café" in Latin-1 ends so too, but has no other.
        return error.reason == "unexpected end of data" and not body[: error.start].isascii()
    return True
