"""`qrnn devices`: list devices, or print the details of some."""

from __future__ import annotations

from qrnn.utils.program import command

FAKE = "fake_"


def devices() -> None:
    """List all devices, or print the details of some."""
    from qrnn.cli.errors import Parser

    parser = Parser(
        prog=command("devices"),
        description="List all devices, or print the details and options of a device.",
    )
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help="a device, e.g. fake_fez, or fake: all of them"
    )
    named = parser.parse_args().names

    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from qrnn.config.device_table import SIMULATED_WIRES, device_table

    specs = {name: spec for name, (spec, _) in device_table().loaded()}
    fakes = {name: spec for name, spec in specs.items() if name.startswith(FAKE)}
    if named == [FAKE.rstrip("_")]:
        print(f"{'device':<18} qubits")
        for name, spec in sorted(fakes.items(), key=lambda one: (one[1].qubits, one[0])):
            print(f"{name:<18} {spec.qubits:>6}")
        print(f"Noise is simulated, so circuits have at most {SIMULATED_WIRES} qubits.")
        return
    if named:
        for name in named:
            _device(name)
        return
    table = Table(title="Devices: device=NAME", title_style="bold")
    for heading in ("device", "readout", "noise", "n", "strategies", "runs here"):
        table.add_column(heading, no_wrap=heading == "device", overflow="fold")
    readouts = {"no": "exact", "optional": "exact/shots", "required": "shots"}
    folded = [(name, spec, str(spec.max_wires)) for name, spec in specs.items()]
    if fakes:  # one row for all
        first, most = list(specs).index(next(iter(fakes))), max(s.max_wires for s in fakes.values())
        folded = [row for row in folded if row[0] not in fakes]
        folded.insert(first, (f"{FAKE}* ({len(fakes)})", next(iter(fakes.values())), f"1-{most}"))
    for name, spec, wires in folded:
        table.add_row(
            name,
            readouts[spec.shots],
            "yes" if spec.noisy else "no",
            wires,
            ", ".join(spec.strategies),
            escape(spec.runs_here),
        )
    Console().print(table)
    print(f"fake_* are copies of IBM's backends, with their noise: {command('devices', 'fake')}")
    print("ibm is IBM's least busy backend; choose one by its name: device=ibm_fez")
    print(f"For the details and options of a device: {command('devices', 'NAME')}")


def _device(name: str) -> None:
    """Print a device's specification and options, at most 80 characters wide."""
    from dataclasses import fields
    from textwrap import fill

    from qrnn.cli.help import meanings
    from qrnn.config.device_table import device_spec
    from qrnn.config.devices import DeviceOptions

    spec = device_spec(name)
    for field in fields(spec):
        value = getattr(spec, field.name)
        if field.name != "options" and not (field.name == "qubits" and value is None):
            shown = ", ".join(value) if isinstance(value, tuple) else value
            print(f"{field.name.replace('_', ' '):<12} {shown}")
    print(f"{'runs here':<12} {spec.runs_here}")
    print("options")
    descriptions = meanings(DeviceOptions)
    for option in spec.options:
        head, text = f"  device.{option}  ", descriptions[option]
        print(fill(text, 79, initial_indent=f"{head:<29}", subsequent_indent=" " * 29))
