"""Measure forward and backward passes of one system in this process: time and memory.

    python benchmarks/case.py SYSTEM N_QUBITS BATCH STEPS THREADS REPEATS SECONDS

Prints JSON with the seconds of each repeat, also of processor time, and the peak resident memory in
bytes, relative to the start. The first repeat is not counted; then there are as many as fit into
SECONDS, at least one.
"""

import json
import os
import resource
import sys
import threading
import time


def resident() -> int:
    """Return the resident memory of this process in bytes."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


class Peak(threading.Thread):
    """Samples the resident memory a hundred times per second."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.highest, self.running = resident(), True

    def run(self) -> None:
        """Sample until `running` is set to False."""
        while self.running:
            self.highest = max(self.highest, resident())
            time.sleep(0.01)


def main() -> None:
    """Measure one case."""
    system = sys.argv[1]
    n, batch, steps, threads, repeats = map(int, sys.argv[2:7])
    limit = float(sys.argv[7])
    os.environ["OMP_NUM_THREADS"] = os.environ["NUMBA_NUM_THREADS"] = str(threads)
    if threads == 1:  # of XLA, which reads no variable of its own for the number
        os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false"
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})

    # Beyond this limit, allocations fail instead of exhausting the machine's memory.
    most = int(0.6 * os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    resource.setrlimit(resource.RLIMIT_DATA, (most, most))

    import torch
    from systems import build, data

    torch.set_num_threads(threads)
    model, x = build(system, n), data(batch, steps)

    processor = []

    def once() -> float:
        start, used = time.perf_counter(), time.process_time()
        model.gradients(x)
        processor.append(time.process_time() - used)
        return time.perf_counter() - start

    model.gradients(data(1, 1))  # imports and compiled kernels
    before = resident()
    watch = Peak()
    watch.start()
    seconds = [once()]
    begun = time.perf_counter()
    while len(seconds) < repeats + 1 and (
        len(seconds) < 2 or time.perf_counter() - begun + seconds[-1] < limit
    ):
        seconds.append(once())
        if seconds[-1] > limit:
            break
    watch.running = False
    result = {"seconds": seconds[1:], "processor": processor[1:]}
    print(json.dumps({**result, "memory": watch.highest - before}))


if __name__ == "__main__":
    main()
