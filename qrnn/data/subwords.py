"""Subword tokens, learned by byte-pair encoding.

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

MOST = 1 << 20  # subwords; `tokenizers` allocates memory for all of them at once
BEGIN = "▁"  # prefix of a subword at the start of a word


def learn_subwords(
    sentences: Sequence[str], specials: Sequence[str], size: int, min_count: int
) -> tuple[tuple[str, ...], Callable[[str], list[int]]]:
    """Return a vocabulary of subwords (V,), and a function that encodes a sentence.

    Each punctuation mark is a separate token. The concatenated subwords give the sentence, with
    `BEGIN` at its start and instead of each space; a character that does not occur in the training
    sentences becomes `<unk>`. Special tokens are never read from the text.

    Args:
        sentences: the training sentences.
        specials: special tokens, which come first; must include `<unk>`.
        size: maximum size of the vocabulary V.
        min_count: how often a pair of subwords must occur to be merged.

    Raises:
        ConfigError: `size` is too large, or too small for the single characters.
        MissingExtraError: `tokenizers` is not installed.
    """
    at_least("task.subwords", size, len(specials) + 1)
    at_most("task.subwords", size, MOST)
    # Otherwise it warns when the process forks; with so few sentences, threads gain little.
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
            f"tokens and characters of the text, got {size}"
        )
    numbers = tokenizer.get_vocab()
    return tuple(sorted(numbers, key=numbers.__getitem__)), lambda s: tokenizer.encode(s).ids
