r"""What the pages write as GitHub reads it, for Python-Markdown.

Formulas become MathML, which browsers render themselves: no script, no font, no network. Pages
write `$...$` and `$$...$$`; arithmatex finds them. Markdown inside `<details>` is Markdown.
"""

import html
import re

from latex2mathml.converter import convert

INLINE = re.compile(r'<span class="arithmatex">\\\((.*?)\\\)</span>', re.DOTALL)
BAR = '<mo stretchy="false">&#x0007C;</mo>'  # of a ket, not of "such that": no space around it
DISPLAY = re.compile(r'<div class="arithmatex">\s*\\\[(.*?)\\\]\s*</div>', re.DOTALL)


def mathml(formula: str, display: str) -> str:
    """Return a formula, as arithmatex marked it, in MathML."""
    found = convert(html.unescape(formula), display)
    return found.replace(BAR, BAR.replace("<mo ", '<mo lspace="0" rspace="0" '))


def on_page_markdown(markdown: str, **_) -> str:
    """Mark what md_in_html shall read."""
    return markdown.replace("<details>", "<details markdown>")


def on_page_content(content: str, **_) -> str:
    """Replace what arithmatex marked in a page's HTML."""
    content = INLINE.sub(lambda match: mathml(match[1], "inline"), content)
    return DISPLAY.sub(
        lambda match: f'<div class="formula">{mathml(match[1], "block")}</div>', content
    )
