"""Small tables, and tiny models trained on them."""

import math

import qrnn

TINY = ["model=gru", "model.hidden_size=3", "trainer.epochs=1", "trainer.progress=false"]
HYBRID = ["model.n_qubits=2", "model.width=4", "trainer.epochs=1", "trainer.progress=false"]


def write_table(path, header, rows):
    """Write a CSV file; return its path."""
    lines = [header, *(",".join(map(str, row)) for row in rows)]
    path.write_text("\n".join(lines) + "\n")
    return path


def wave(n=80, start=0):
    """Return n rows of a time, a value and another column."""
    return [(t, round(math.sin(t / 3), 4), t % 5) for t in range(start, start + n)]


def series_file(folder, n=80, name="series.csv"):
    """Write a series of columns t, y and u; return its path."""
    return write_table(folder / name, "t,y,u", wave(n))


def labelled_file(folder, name="labelled.csv", n=24):
    """Write n sequences of 3 to 5 steps in two classes, with a number for each step."""
    rows = []
    for i in range(n):
        kind = "ab"[i % 2]
        for t in range(3 + i % 3):
            x = math.sin(i + t) + (kind == "b")
            rows.append((f"s{i}", t, round(x, 3), round(2 * x, 3), kind, round(x * t, 3)))
    return write_table(folder / name, "id,step,f,g,label,value", rows)


def trained(folder, *arguments, tiny=TINY):
    """Return a tiny model that one epoch of training made."""
    done = qrnn.train([*tiny, *arguments], folder)
    return qrnn.load(done.best)
