r"""Translate GitHub's Markdown to Python-Markdown.

Formulas in `$...$` and `$$...$$` are found by arithmatex and converted to MathML, which browsers
render without scripts, fonts or network requests. Text inside `<details>` is parsed as Markdown.
Figures are links to their files.
"""

import html
import re

from latex2mathml.converter import convert

INLINE = re.compile(r'<span class="arithmatex">\\\((.*?)\\\)</span>', re.DOTALL)
BAR = (
    '<mo stretchy="false">&#x0007C;</mo>'  # the bar of a ket, without the space around "such that"
)
FIGURE = re.compile(r'<img [^>]*src="(?P<file>[^"#]*images/[^"#]*)[^>]*>')
DISPLAY = re.compile(r'<div class="arithmatex">\s*\\\[(.*?)\\\]\s*</div>', re.DOTALL)


def mathml(formula: str, display: str) -> str:
    """Convert a formula marked by arithmatex to MathML."""
    found = convert(html.unescape(formula), display)
    return found.replace(BAR, BAR.replace("<mo ", '<mo lspace="0" rspace="0" '))


def on_page_markdown(markdown: str, **_) -> str:
    """Mark the blocks that md_in_html should parse."""
    return markdown.replace("<details>", "<details markdown>")


def on_page_content(content: str, **_) -> str:
    """Replace the formulas marked by arithmatex, and link figures to their files, in a page."""
    content = FIGURE.sub(r'<a href="\g<file>">\g<0></a>', content)
    content = INLINE.sub(lambda match: mathml(match[1], "inline"), content)
    return DISPLAY.sub(
        lambda match: f'<div class="formula">{mathml(match[1], "block")}</div>', content
    )
