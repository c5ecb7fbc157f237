"""Command lines at random: from the schema of each command, right and wrong."""

from __future__ import annotations

import random
from collections.abc import Mapping
from types import MappingProxyType

from qrnn.cli.completion import _leaves, command_keys, values
from qrnn.config import COMMAND_SCHEMAS
from qrnn.data import TASKS
from qrnn.networks import NETWORKS

COMMANDS = {
    "train": 50,
    "draw": 14,
    "evaluate": 9,
    "predict": 6,
    "inspect": 6,
    "export": 6,
    "estimate": 4,
    "report": 4,
    "devices": 3,
    "completion": 1,
    "fly": 1,
}
WHOLE = ["1", "2", "3", "4", "8", "1_0"]
REAL = ["0.5", "1e-3", "1", ".1", "0", "2.5e0"]
TEXT = ["digits", "XYZ", "gelu", "a", "run", "all", "batch", "RY", "CZ", "ring", "svg"]
WRONG = [
    "-1",
    "0",
    "1.5",
    "1e308",
    "-1e308",
    "1e400",
    "1000000000000",
    "3000000000",
    "100000",
    "1000",
    "2147483648",
    "9223372036854775808",
    "18446744073709551616",
    "10000000000000000000000000000000000000000",
    "nan",
    "inf",
    "-inf",
    "null",
    "true",
    "[]",
    "{}",
    "[1,2]",
    "[null]",
    "[nan]",
    "[[1]]",
    "[[[]]]",
    "{a:1}",
    "{a:{b:[1,{c:2}]}}",
    "[a,1,null]",
    "''",
    "'a",
    "`a`",
    "$",
    "$x",
    "${x",
    "${oc.env:NOTHING}",
    "${oc.env:HOME}",
    "${x}",
    "???",
    "${now:%Y}",
    "${model}",
    "${..x}",
    "é",
    "日本",
    "🎲",
    "a=b",
    "=",
    "1,2",
    "1,2,null",
    "choice(1,2)",
    "range(1,3)",
    "range(0,1e9)",
    "glob(*)",
    "interval(0,1)",
    "sort(3,1)",
    "shuffle(1,2)",
    "int(3)",
    "int(x)",
    "str([1])",
    "float(nan)",
    "json_str({})",
    "extend_list(1)",
    "/dev/null",
    "a_file",
    "a_file/x",
    "empty",
    "/nowhere",
    "run/best.ckpt",
    "NULL",
    "None",
    "0x",
    "1e",
    "1__0",
    "-0.0",
    "1e-400",
    "!",
    "#",
    "*",
    "&a",
    "!!python/object:x",
    "[0,1,2,3,4,5,6,7,8,9,10,11,12]",
    "[[0,1],[1,2]]",
    "[0,0]",
    "{1:2}",
    "{}{}",
    "(1)",
    ",",
    "[,]",
    "{:}",
    "[1.5]",
    "[true]",
    "[-1]",
    "[1000000000000]",
]
# What has blanks, quotes or letters that do not print, or is long.
WRONG += ["", "''", '""', "' '", "a b", "a\nb", '"', "a\\", "\udcff", "\x7f", "\t"]
WRONG += ["1" + "0" * 5000, "x" * 3000, "[" * 200]
HYDRA = [
    "hydra.run.dir",
    "hydra.sweep.dir",
    "hydra.sweep.subdir",
    "hydra.verbose",
    "hydra.job.chdir",
    "hydra.job.name",
    "hydra.output_subdir",
    "hydra.mode",
    "hydra/job_logging",
    "hydra/hydra_logging",
    "hydra.job.env_set.X",
    "hydra.job.env_set",
    "hydra.searchpath",
    "hydra.callbacks",
    "hydra.job.num",
    "hydra/launcher",
    "hydra/sweeper",
    "hydra.runtime.cwd",
    "hydra.sweeper.max_batch_size",
    "hydra.sweeper.params",
    "hydra.job_logging",
    "hydra.overrides",
    "hydra.hydra_logging",
    "hydra.help",
    "hydra.launcher",
    "hydra",
    "hydra.job",
    "hydra.help.header",
    "hydra.runtime.output_dir",
    "hydra.runtime.choices",
    "hydra.job.override_dirname",
    "hydra/help",
    "hydra/output",
    "hydra.sweeper",
    "hydra.run",
    "hydra.job.config",
    "hydra.env",
    "hydra.x",
]
HYDRA_VALUES = [
    "true",
    "false",
    "3",
    "[hydra]",
    "none",
    "null",
    "out",
    "out/a",
    "default",
    "basic",
    "MULTIRUN",
    "RUN",
    "disabled",
    "colorlog",
    "[file://conf]",
    "[pkg://qrnn]",
    "conf",
    "{x:{_target_:os.abc}}",
    "${task.name}",
    "${now:%H}",
]
FLAGS = [
    "--help",
    "-h",
    "--multirun",
    "-m",
    "--cfg",
    "-c",
    "--resolve",
    "--package",
    "-p",
    "--run",
    "-r",
    "--info",
    "-i",
    "--hydra-help",
    "--version",
    "--shell-completion",
    "-sc",
    "--config-path",
    "-cp",
    "--config-name",
    "-cn",
    "--config-dir",
    "-cd",
    "--experimental-rerun",
    "--multi",
    "-x",
    "--",
    "-",
    "---",
    "--conf",
    "--cfg=",
    "-cjob",
    "--no",
    "--info=all",
    "-mr",
    "--resolve=1",
]
FLAG_VALUES = {
    "--cfg": ("job", "hydra", "all", "x", ""),
    "-c": ("job", "all"),
    "--package": ("model", "x", "_global_", "model.n_qubits", "trainer", "", "a..b"),
    "-p": ("model", "hydra"),
    "--info": ("all", "config", "defaults", "defaults-tree", "plugins", "searchpath", "x"),
    "-i": ("defaults",),
    "--config-dir": ("conf", "nowhere", "a_file", ""),
    "-cd": ("conf",),
    "--config-path": ("conf", "pkg://qrnn.configs", "pkg://nothing", "", "."),
    "--config-name": ("train", "draw", "nothing", "", "grid", "../x", "hydra/config"),
    "-cn": ("evaluate", "model/lstm"),
    "--experimental-rerun": ("a_file", "nowhere", "run/best.ckpt"),
    "--shell-completion": ("install=bash", "query=bash", "uninstall=fish", "x=1"),
}
OWN = {"model": ("mine", "mine")}  # in --config-dir
# Without one, these end at once.
CHECKPOINT = ["checkpoint=run/best.ckpt"]
NEEDED = {
    "evaluate": CHECKPOINT,
    "predict": ["checkpoint=run/forecast.ckpt", "input=series.csv"],
    "inspect": CHECKPOINT,
    "export": CHECKPOINT,
    "estimate": CHECKPOINT,
    "report": ["run=run"],
}
# The tasks that read tables, with what they need of the files of `fuzz.table_files`.
TABLES = {
    "forecast": ["task.file=series.csv", "task.target=y", "task.window=4", "task.horizon=2"],
    "sequences": ["task.file=labelled.csv"],
    "texts": ["task.file=texts.csv"],
    "henon": [],
    "mackey_glass": [],
    "narma10": [],
}
FILES = ("series.csv", "labelled.csv", "texts.csv", "wrong.csv", "empty.csv", "nowhere.csv")
COLUMNS = ("t", "y", "u", "id", "step", "f", "g", "label", "value", "text", "none")
NAMES = {
    "task.file": FILES,
    "task.test_file": FILES,
    "task.separator": (",", "';'", "x"),
    "task.decimal": (".", "','", "x"),
    "input": (*FILES, "-"),
    "checkpoint": ("run/forecast.ckpt", "run/sequences.ckpt", "run/texts.ckpt", "run/best.ckpt"),
    "output": ("out.csv", "a/b.csv", "empty"),
    "plot": ("out.png", "out.svg", "out"),
    "task.missing": ("refuse", "interpolate", "mask"),
    "task.scale": ("standard", "minmax", "none"),
    "task.loss": ("mse", "mae", "huber", "quantile"),
    "task.quantiles": ("[0.1,0.5,0.9]", "[0.5]", "[0.9,0.1]"),
    "task.each": ("sequence", "step"),
    "task.split": ("[0.6,0.2,0.2]", "[40,60]", "[60,40]", "[0.5,0.5,0.5]"),
    "trainer.baselines": ("[lstm]", "[gru,rnn]", "[hybrid]", "[orthogonal]", "[none]"),
    **{f"task.{key}": COLUMNS for key in ("target", "time", "id", "order", "label", "text")},
    **{f"task.{key}": ("[u]", "[y]", "[f,g]", "[t]", "[none]") for key in ("inputs", "known")},
    "task.features": ("[f,g]", "[f]", "[label]", "[]"),
}


def line_of(rng: random.Random) -> list[str]:
    """Return the arguments of one command line, the command first."""
    command = rng.choices(list(COMMANDS), list(COMMANDS.values()))[0]
    if command == "devices":
        return [command, *_words(rng, ["fused", "aer", "ibm", "fake_fez", "--help"])]
    if command == "completion":
        return [command, *_words(rng, ["bash", "zsh"])]
    line = [] if command not in COMMAND_SCHEMAS else _options(rng, command)
    if command == "train" and rng.random() < 0.5:
        line.insert(0, "trainer.epochs=1")
    if rng.random() < 0.9:
        line = [*NEEDED.get(command, ()), *line]
    return _with_noise(rng, command, line)


def table_line_of(rng: random.Random) -> list[str]:
    """Return the arguments of a line about tables: training on them, and what comes after."""
    command = rng.choices(("train", "predict", "estimate", "evaluate"), (12, 8, 2, 1))[0]
    if command == "train":
        task = rng.choice(list(TABLES))
        needed = [f"task={task}", *TABLES[task], "model=gru", "trainer.epochs=1"]
        options = _options(rng, command, {"task": task})
    else:
        kind = rng.choice(("forecast", "sequences", "texts"))
        needed = [f"checkpoint=run/{kind}.ckpt"]
        if command != "evaluate":
            needed += [f"input={NAMES['input'][('forecast', 'sequences', 'texts').index(kind)]}"]
        options = _options(rng, command)
    kept = [one for one in needed if rng.random() < 0.95]
    return _with_noise(rng, command, [*kept, *options])


def _with_noise(rng: random.Random, command: str, line: list[str]) -> list[str]:
    if rng.random() < 0.2:
        line += _flag(rng)
    if rng.random() < 0.08:
        line.append(rng.choice(WRONG))
    return [command, *line]


def _options(
    rng: random.Random, command: str, given: Mapping[str, str] = MappingProxyType({})
) -> list[str]:
    """Return key=value for keys of a command, most of them right.

    Args:
        given: the groups that the line has chosen already.
    """
    groups = [
        group for group in ("task", "model", "device") if f"{group}=" in command_keys()[command]
    ]
    line, chosen = [], dict(given)
    for group in groups:
        if group not in given and rng.random() < (
            0.2 if command == "draw" and group == "model" else 0.5
        ):
            chosen[group] = rng.choice((*values()[group], *OWN.get(group, ())))
            line.append(f"{group}={chosen[group]}")
    keys = dict(_leaves(COMMAND_SCHEMAS[command]))
    own = dict(keys)
    for group, table, usual in (("task", TASKS, "digits"), ("model", NETWORKS, "hybrid")):
        name = chosen.get(group, usual)
        if group in groups and name in table:
            others = [key for key in own if key.startswith(f"{group}.")]
            schema = table[name].schema
            own = {k: v for k, v in own.items() if k not in others}
            own |= dict(_leaves(schema, f"{group}."))
    wrong = rng.choice((0.0, 0.1, 0.3, 0.8))  # else hardly a line would get beyond Hydra
    if "device" in chosen and rng.random() < 0.6:
        line.append("device.shots=10")
    for _ in range(rng.choice((0, 1, 1, 2, 2, 3, 5))):
        if rng.random() < wrong / 5:
            line.append(f"{rng.choice(HYDRA)}={rng.choice(HYDRA_VALUES + WRONG)}")
            continue
        key = rng.choice(list(keys if rng.random() < wrong / 4 else own))
        if rng.random() < wrong / 5:
            key = rng.choice(
                (key.split(".")[0], key + ".x", key[:-1], f"{key}.0", "", "x", ".", "@")
            )
        kind = str(own.get(key))
        value = rng.choice(WRONG) if rng.random() < wrong else _right(rng, key, kind)
        prefix = rng.choices(("", "+", "++", "~"), (85, 6, 6, 3))[0]
        bare = prefix == "~" and rng.random() < 0.5
        line.append(prefix + key if bare else f"{prefix}{key}={value}")
    if chosen.get("model") == "mine":
        line.append("--config-dir=conf")
    rng.shuffle(line)
    return line


def _right(rng: random.Random, key: str, kind: str) -> str:
    """Return a value of a key's type, though not always one that is allowed."""
    if key in NAMES:
        return rng.choice(NAMES[key])
    if key in values():
        return rng.choice(values()[key])
    if "float" in kind:
        return rng.choice(REAL)
    if "list" in kind:
        return rng.choice(("[1,3]", "[0,1]", "[1]", "[svg]", "[RY,RZ]", "[]"))
    if "int" in kind:
        return rng.choice(WHOLE)
    return rng.choice(TEXT + WHOLE)


def _flag(rng: random.Random) -> list[str]:
    flag = rng.choice(FLAGS)
    given = FLAG_VALUES.get(flag, ())
    if not given or rng.random() < 0.15:
        return [flag]
    value = rng.choice(given)
    return [f"{flag}={value}"] if rng.random() < 0.3 and flag.startswith("--") else [flag, value]


def _words(rng: random.Random, right: list[str]) -> list[str]:
    return [
        rng.choice(right) if rng.random() < 0.5 else rng.choice(WRONG + FLAGS)
        for _ in range(rng.choice((0, 1, 1, 2)))
    ]
