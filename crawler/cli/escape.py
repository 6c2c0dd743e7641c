"""The one door through which words that servers chose reach a terminal or a log.

A URL or an error text can hold escape sequences that repaint the screen or set the clipboard, bidirectional
overrides that show another host than the one meant, and line ends that forge log lines.
"""

from __future__ import annotations


def escape(text: str, width: int = 0) -> str:
    r"""``text`` with everything that isn't plainly visible written as ``\x1b``, ``\u202e`` or ``\U000e0041``.

    Visible is what ``str.isprintable`` says: no control, format (bidi, zero-width, tag), surrogate, private
    or unassigned character and no space but U+0020. With ``width`` a longer result is cut in its middle to
    that many characters, since a URL is told by both its ends. O(length).
    """
    if not text.isprintable():
        text = "".join(
            character if character.isprintable() else character.encode("unicode_escape").decode("ascii")
            for character in text
        )
    if 0 < width < len(text):
        tail = (width - 3) // 3
        head = width - 3 - tail
        text = f"{text[:head]}...{text[len(text) - tail :]}" if width > 3 else text[:width]
    return text
