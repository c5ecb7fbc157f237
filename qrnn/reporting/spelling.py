"""Tokens as text, short enough for a table, with what is wrong marked."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from qrnn.reporting.parts import Span

LONGEST = 60  # words of a cell
REPEATED = 4  # as often as this, a token is written once, with its number


class Spelling:
    """How the tokens of a task are written.

    Args:
        names: of the tokens, by their numbers.
    """

    def __init__(self, names: Sequence[str]):
        self.names = names
        # The single characters of a text follow each other; words have a blank between them.
        own = [name for name in names if not name.startswith(("<", "unused "))]
        self.letters = bool(own) and all(len(name) == 1 for name in own)

    def text(self, tokens: Sequence[int], *, end: bool = False) -> str:
        """Return tokens as text.

        Args:
            tokens: their numbers.
            end: whether the end is what matters if there are too many, not the beginning.
        """
        return "".join(span.text for span in self.spans(tokens, end=end))

    def spans(
        self, tokens: Sequence[int], wanted: Sequence[int] | None = None, *, end: bool = False
    ) -> list[Span]:
        """Return tokens as pieces of text; those that differ from `wanted` are marked."""
        wrong = (
            [False] * len(tokens)
            if wanted is None
            else [token != right for token, right in zip(tokens, wanted, strict=True)]
        )
        words: list[Span] = []
        for (token, bad), same in itertools.groupby(zip(tokens, wrong, strict=True)):
            number = len(list(same))
            if number >= REPEATED and not self.letters:
                words.append(Span(f"{self.name(token)} x {number}", bad))
            else:
                words += [Span(self.name(token), bad)] * number
        most = 2 * LONGEST if self.letters else LONGEST
        if len(words) > most:
            words = [Span("…"), *words[-most:]] if end else [*words[:most], Span("…")]
        blank = "" if self.letters else " "
        pieces: list[Span] = []
        for bad, alike in itertools.groupby(words, key=lambda word: word.wrong):
            if pieces and blank:
                pieces.append(Span(blank))
            pieces.append(Span(blank.join(word.text for word in alike), bad))
        return pieces

    def name(self, token: int) -> str:
        """Return a token's name; of a number that has none, the number."""
        return self.names[token] if 0 <= token < len(self.names) else str(token)
