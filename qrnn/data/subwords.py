"""Subwords: parts of words, learnt by byte-pair encoding.

Source: R. Sennrich, B. Haddow, A. Birch, Neural Machine Translation of Rare Words with Subword
Units (arXiv 1508.07909).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence

from qrnn.data.sources import at_least, at_most
from qrnn.data.text import UNK
from qrnn.errors import ConfigError, require_extra

MOST = 1 << 20  # subwords: `tokenizers` makes room for all of them at once
BEGIN = "▁"  # begins a subword with which a word begins


def learn_subwords(
    sentences: Sequence[str], specials: Sequence[str], size: int, min_count: int
) -> tuple[tuple[str, ...], Callable[[str], list[int]]]:
    """Return a vocabulary of subwords (V,), and what encodes a sentence with it.

    A sign is by itself. The subwords of a sentence, side by side, are the sentence, with `BEGIN`
    for each blank and at its beginning; a character that the training sentences have not is
    `<unk>`. A special token is never read from a sentence.

    Args:
        sentences: the training sentences.
        specials: special tokens, which come first; `<unk>` is one of them.
        size: V at most.
        min_count: how often a pair of subwords must occur to be joined.

    Raises:
        ConfigError: `size` is too small for the characters alone, or too large.
        MissingExtraError: `tokenizers` is not installed.
    """
    at_least("task.subwords", size, len(specials) + 1)
    at_most("task.subwords", size, MOST)
    # Else it warns when the process forks; and sentences are so few that threads gain little.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    try:
        from tokenizers import Tokenizer, models, pre_tokenizers, trainers
    except ImportError as error:
        raise require_extra("tokenizers", "data", "task.subwords") from error
    tokenizer = Tokenizer(models.BPE(unk_token=UNK))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Metaspace(replacement=BEGIN, prepend_scheme="always"),
            pre_tokenizers.Punctuation("isolated"),
        ]
    )
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        min_frequency=min(min_count, sys.maxsize),
        special_tokens=list(specials),
        show_progress=False,
    )
    tokenizer.train_from_iterator(sentences, trainer)
    tokenizer.encode_special_tokens = True  # as text
    if tokenizer.get_vocab_size() > size:
        raise ConfigError(
            f"task.subwords must be at least {tokenizer.get_vocab_size()}, the number of special "
            f"tokens and of the text's characters, got {size}"
        )
    numbers = tokenizer.get_vocab()
    return tuple(sorted(numbers, key=numbers.__getitem__)), lambda s: tokenizer.encode(s).ids
