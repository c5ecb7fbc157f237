"""The tables of docs/devices.md, made of what the devices declare.

    python docs/hooks/device_tables.py      writes them into the page; `make docs` does so

tests/docs/test_docs.py fails where the page is older than the declarations.
"""

from collections.abc import Callable, Iterable
from pathlib import Path

from qrnn.cli.help import meanings
from qrnn.devices import DeviceOptions, DeviceSpec, device_spec
from qrnn.devices.hardware import aer_spec, fake_spec, ibm_spec
from qrnn.devices.plugins import plugin_spec
from qrnn.utils.files import write_text

PAGE = Path(__file__).parents[1] / "devices.md"
BEGIN, END = "<!-- made by docs/hooks/device_tables.py -->", "<!-- end -->"

# Names of one kind share a row. What is installed here must not change the page.
DEVICES: dict[str, DeviceSpec] = {
    **{
        f"`{name}`": device_spec(name)
        for name in (
            "fused",
            "default.qubit",
            "default.mixed",
            "lightning.qubit",
            "lightning.kokkos",
            "lightning.gpu",
        )
    },
    "`aer`": aer_spec(),
    "`fake_*`": fake_spec("fake_torino"),
    "`ibm`, `ibm_*`": ibm_spec(),
    "other plugins": plugin_spec("plugin", "pennylane"),
}
LIGHTNING = [name for name in DEVICES if "lightning" in name]
NOTE = """\
`fake_*` are simulated copies of IBM's backends (`fake_torino`), `ibm_*` the backends
(`ibm_torino`), `ibm` is the least busy one. Other plugins: any device of PennyLane by its name.
n is the largest number of qubits that is sensible; a batch, several sequences in one execution."""
HOW = """\
A device carries the state in the way named first, unless shots or `device.strategy` ask for
another. Where it is not replayed, gradients are exact: a reversible adjoint on `fused`,
backpropagation on `default.*`, an adjoint on `lightning.*`. B is the number of sequences."""

EXACT_GRADIENTS = {"backprop", "adjoint"}
WISHES: dict[str, Callable[[DeviceSpec], bool]] = {
    "to train: gradients of exact readouts": lambda s: (
        s.shots != "required" and bool(EXACT_GRADIENTS & set(s.gradients))
    ),
    "long sequences: memory that does not grow with T": lambda s: "fused" in s.strategies,
    "a batch of sequences in one execution": lambda s: s.batching,
    "more than 20 qubits": lambda s: s.max_wires > 20,
    "shot noise and nothing else": lambda s: s.shots != "no" and not s.noisy,
    "samples that a seed repeats": lambda s: "seed" in s.options,
    "noise of a strength that you state": lambda s: "noise" in s.options,
    "the noise of a backend, simulated": lambda s: (
        s.noisy and s.shots == "required" and not s.account
    ),
    "a backend": lambda s: s.account,
    "mitigation of readout errors and noise": lambda s: "zne" in s.options,
    "readouts measured mid-circuit (`readout_mode=measure`)": lambda s: bool(s.measured),
}


def table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Return a Markdown table."""
    heads = list(heads)
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def names(wanted: Callable[[DeviceSpec], bool]) -> str:
    """Return the devices that meet a wish."""
    found = [name for name, spec in DEVICES.items() if wanted(spec)]
    others = [name for name in DEVICES if name not in found]
    if len(others) < 3:
        return "all" + (f" but {' and '.join(others)}" if others else "")
    if set(found) >= set(LIGHTNING):
        found[found.index(LIGHTNING[0])] = "`lightning.*`"
        found = [name for name in found if name not in LIGHTNING]
    return ", ".join(found)


def ability(name: str, spec: DeviceSpec) -> list[str]:
    """Return a device's row: what it is asked for."""
    readouts = {"no": "exact", "optional": "exact or shots", "required": "shots"}
    needs = f"`pennylane-qrnn[{spec.extra}]`" if spec.extra else ""
    return [
        name,
        readouts[spec.shots],
        "yes" if spec.noisy else "no",
        str(spec.max_wires),
        "yes" if spec.measured else "no",
        "yes" if spec.batching else "no",
        needs + (" and an account" if spec.account else ""),
    ]


def method(name: str, spec: DeviceSpec) -> list[str]:
    """Return a device's row: how it does it."""
    replays = "replayed" in spec.strategies
    return [name, ", ".join(spec.strategies), spec.cost, ", ".join(spec.gradients) * replays]


def tables() -> str:
    """Return the generated part of the page."""
    told = meanings(DeviceOptions)
    of_option: dict[str, str] = {
        option: names(lambda spec, option=option: option in spec.options)  # type: ignore[misc]
        for option in told
        if option != "name"
    }
    return "\n\n".join(
        [
            "## What do you need?",
            table(("you want", "take"), ((wish, names(meets)) for wish, meets in WISHES.items())),
            "## What each can do",
            table(
                ("device", "readouts", "noise", "n", "measures mid-circuit", "batch", "needs"),
                (ability(name, spec) for name, spec in DEVICES.items()),
            ),
            NOTE,
            "## How each does it",
            table(
                ("device", "carries the state", "cost of T steps", "gradients when replayed"),
                (method(name, spec) for name, spec in DEVICES.items()),
            ),
            HOW,
            "## Options",
            table(
                ("option", "what it is", "read by"),
                ((f"`device.{o}`", told[o], who) for o, who in of_option.items()),
            ),
        ]
    )


def page(text: str) -> str:
    """Return the page with its tables made anew."""
    before, _, rest = text.partition(BEGIN)
    return f"{before}{BEGIN}\n\n{tables()}\n\n{END}{rest.partition(END)[2]}"


if __name__ == "__main__":
    write_text(PAGE, page(PAGE.read_text(encoding="utf-8")))
