"""The `task` group: the keys of each task, and the registry of tasks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from qrnn.utils.registry import Later, Registry

MISSING: Any = "???"  # of OmegaConf, which takes a while to import


@dataclass
class TaskConfig:
    """The `task` group of the config; each task adds its own keys.

    Attributes:
        name: name of a registered task.
    """

    name: str = MISSING


@dataclass(frozen=True)
class Task:
    """A registered task.

    Attributes:
        schema: dataclass of its config keys.
        load: function that takes such a config and returns the `TaskData`.
    """

    schema: type[TaskConfig]
    load: Callable[[Any], Any]


TASKS: Registry[Task] = Registry("task", "qrnn.tasks")

Load = TypeVar("Load", bound=Callable[[Any], Any])
Schema = TypeVar("Schema", bound=type[TaskConfig])


def task(schema: type[TaskConfig]) -> Callable[[Load], Load]:
    """Register the decorated function as a task of the same name, with the schema of its keys."""

    def decorate(load: Load) -> Load:
        TASKS.add(load.__name__, Task(schema, load), load.__module__)
        return load

    return decorate


def built_in(module: str) -> Callable[[Schema], Schema]:
    """Register a task of this package by its schema; its module is imported when it is loaded.

    Args:
        module: where the function is that has the task's name.
    """

    def decorate(schema: Schema) -> Schema:
        task(schema)(Later(module, schema.name))
        return schema

    return decorate


@built_in("qrnn.data.digits")
@dataclass
class DigitsConfig(TaskConfig):
    """scikit-learn's 8x8 digits, one row per step.

    Attributes:
        name: `digits`.
        seed: random seed of the split into training, validation and test data.
    """

    name: str = "digits"
    seed: int = 0


@built_in("qrnn.data.mnist")
@dataclass
class MnistConfig(TaskConfig):
    """MNIST from local IDX files, or from the Hugging Face hub.

    Attributes:
        name: `mnist`.
        data_dir: folder of the four files, gzipped or not; None: download from the hub.
        sequence: `rows` (28 steps), `pixels` (784) or `permuted` (784, in a fixed random order).
        permutation_seed: random seed of that order; `permuted` only.
    """

    name: str = "mnist"
    data_dir: str | None = None
    sequence: str = "rows"
    permutation_seed: int = 92916


@built_in("qrnn.data.imdb")
@dataclass
class ImdbConfig(TaskConfig):
    """IMDB from local files, or from the Hugging Face hub.

    Attributes:
        name: `imdb`.
        data_dir: folder that contains the archive `aclImdb_v1.tar.gz` (which is not unpacked) or
            the folder `aclImdb`; None: download from the hub.
        max_tokens: maximum length of a review; of longer ones the last tokens are used.
        max_words: maximum size of the vocabulary, with its two special tokens; None: no limit.
        min_count: how often a word must occur in the training reviews to be in the vocabulary.
        vectors: file of pretrained word vectors in the text format of GloVe or word2vec, or None.
        n_val: number of training reviews to hold out for validation.
        seed: random seed of that split, and of the vectors of words that are not in the file.
    """

    name: str = "imdb"
    data_dir: str | None = None
    max_tokens: int = 400
    max_words: int | None = 20_000
    min_count: int = 1
    vectors: str | None = None
    n_val: int = 5_000
    seed: int = 0


@built_in("qrnn.data.ptb")
@dataclass
class PtbConfig(TaskConfig):
    """Penn Treebank from local files, or from the Hugging Face hub.

    Attributes:
        name: `ptb`.
        data_dir: folder of the three files; None: download from the hub.
        level: `words` or `characters`.
        steps: tokens after which backpropagation through time is truncated; usually 35 for words,
            150 for characters. A text too short for `trainer.batch_size` parallel rows of this
            length is read in fewer rows.
        carry: number of batches of `steps` tokens, in training and evaluation, after which the
            state is reset; None: it is carried through the whole text. A unitary network never
            forgets: over thousands of steps, old inputs become noise.
    """

    name: str = "ptb"
    data_dir: str | None = None
    level: str = "words"
    steps: int = 35
    carry: int | None = None


@built_in("qrnn.data.multi30k")
@dataclass
class Multi30kConfig(TaskConfig):
    """Multi30k from local files, or from the Hugging Face hub.

    Attributes:
        name: `multi30k`.
        data_dir: folder of the six gzipped files; None: download from the hub (German and English
            only).
        source: language to translate from: `cs`, `de`, `en` or `fr`, if its files are there.
        target: language to translate into.
        min_count: how often a word, or a pair of subwords to merge, must occur in the training
            sentences to be in the vocabulary.
        max_tokens: training pairs with a longer sentence are dropped; longer source sentences of
            the validation and test data are truncated. Targets are never truncated.
        subwords: size of each language's subword vocabulary (byte-pair encoding); None: words.
    """

    name: str = "multi30k"
    data_dir: str | None = None
    source: str = "de"
    target: str = "en"
    min_count: int = 2
    max_tokens: int = 100
    subwords: int | None = None


@built_in("qrnn.data.mnist_binary")
@dataclass
class MnistBinaryConfig(TaskConfig):
    """Two digits of MNIST from local IDX files, or from the Hugging Face hub.

    Attributes:
        name: `mnist_binary`.
        data_dir: folder of the four files, gzipped or not; None: download from the hub.
        digits: the two digits to classify.
    """

    name: str = "mnist_binary"
    data_dir: str | None = None
    digits: list[int] = field(default_factory=lambda: [0, 1])


@dataclass
class GeneratedConfig(TaskConfig):
    """Sequences generated from a seed.

    Attributes:
        n_train: number of training sequences.
        n_val: number of validation sequences.
        n_test: number of test sequences.
        seed: random seed of the sequences.
    """

    n_train: int = 20_000
    n_val: int = 1_000
    n_test: int = 1_000
    seed: int = 0


@built_in("qrnn.data.copying")
@dataclass
class CopyingConfig(GeneratedConfig):
    """The copying memory problem.

    Attributes:
        name: `copying`.
        delay: T, steps from the last input symbol to the first one to repeat.
        curriculum: training delays of the first epochs, in order; validation and test always use T.
            With a long delay, a network first learns to output only blanks, and the remaining
            gradient is then too small to learn from; starting with short delays helps.
    """

    name: str = "copying"
    delay: int = 100
    curriculum: list[int] = field(default_factory=list)


@built_in("qrnn.data.sequences")
@dataclass
class SimpleConfig(TaskConfig):
    """Two sequences to memorise.

    Attributes:
        name: `simple`.
        length: tokens per sequence, at least 2.
        repeats: how often the training data contains both sequences, so that an epoch has many
            steps.
    """

    name: str = "simple"
    length: int = 20
    repeats: int = 50


@built_in("qrnn.data.sequences")
@dataclass
class ElmanXorConfig(GeneratedConfig):
    """A stream of bits in which every third one can be predicted.

    Attributes:
        name: `elman_xor`.
        length: bits per sequence, a multiple of 3.
    """

    name: str = "elman_xor"
    length: int = 36


@built_in("qrnn.data.sequences")
@dataclass
class ElmanLettersConfig(GeneratedConfig):
    """Consonants, each followed by its vowels.

    Attributes:
        name: `elman_letters`.
        length: letters per sequence, at least 2.
    """

    name: str = "elman_letters"
    length: int = 36


@built_in("qrnn.data.sequences")
@dataclass
class DnaConfig(GeneratedConfig):
    """A base to remember until the end.

    Attributes:
        name: `dna`.
        length: tokens per sequence L, at least 4; the last one is the answer.
        marker: how the base is marked: by the `token` before it, or by a `bit` of its own token.
        answer: which steps are scored: only the `end`, or all (`hold` the answer from the mark on).
    """

    name: str = "dna"
    length: int = 50
    marker: str = "token"
    answer: str = "end"
