#!/usr/bin/env python3
"""Runs a tier of the tests: cargo builds everything once, then the test programs run side by side.

usage: tests/run.py quick|test|rest

quick  unit tests of programs that changed since they last passed, one sweep, one kill
test   all tests except those marked with `#[ignore = "make test-all: ..."]`
rest   those

`cargo test` runs one test program after the other. Here they run at the same time, because most of
the end-to-end tests wait while the unit tests compute. README.md beside this file describes the
tests.
"""

import json
import os
import queue
import subprocess
import sys
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# End-to-end tests of the quick tier.
ONE_SWEEP_AND_ONE_KILL = [
    "end_to_end::two_workers_finish_a_sweep_exactly_once",
    "faults::a_worker_killed_in_the_middle_changes_nothing",
]
# No tier runs these: they need PyTorch, a GPU or a quiet machine, and have targets of their own.
ELSEWHERE = ["pytorch::", "gpu::", "timings"]
# Test programs at a time. The end-to-end tests count little: most of them wait, and those that
# compute take permits.
AT_A_TIME = 1 + (os.cpu_count() or 2)
# The programs that take longest start first.
FIRST = ["tests test", "worker test", "worker lib", "coordinator/scheduler lib"]


class Program:
    """A test program: its name, its file, and the folder that it runs in."""

    def __init__(self, name, path, folder):
        self.name, self.path, self.folder = name, str(path), folder
        state = os.stat(path)
        self.state = f"{state.st_mtime_ns} {state.st_size}"

    def run(self, arguments, environment, nice):
        """Returns its exit code, its output, and its duration."""
        start = time.monotonic()
        environment = {**os.environ, **environment, "CARGO_MANIFEST_DIR": str(self.folder)}
        done = subprocess.run(
            ["nice", "-n", str(nice), self.path, *arguments],
            cwd=self.folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            check=False,
        )
        return done.returncode, done.stdout, time.monotonic() - start


def build():
    """Builds the test programs and the programs under test, and returns the former."""
    cargo = [os.environ.get("CARGO", "cargo"), "test", "--workspace", "--locked", "--no-run"]
    form = "--message-format=json-render-diagnostics"
    built = subprocess.run([*cargo, form], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
    if built.returncode:
        sys.exit(built.returncode)
    messages = map(json.loads, built.stdout.splitlines())
    artifacts = [m for m in messages if m.get("executable") and m["profile"]["test"]]
    programs = []
    for artifact in artifacts:
        folder = Path(artifact["manifest_path"]).parent
        name = f"{folder.relative_to(ROOT)} {artifact['target']['kind'][0]}"
        programs.append(Program(name, artifact["executable"], folder))
    place = {name: number for number, name in enumerate(FIRST)}
    return sorted(programs, key=lambda program: (place.get(program.name, len(place)), program.name))


def tasks(tier, programs, passed):
    """Returns pairs of a program and its arguments."""
    if tier == "quick":
        changed = [p for p in programs if p.name.endswith(" lib") and passed.get(p.path) != p.state]
        exact = ["--exact", *ONE_SWEEP_AND_ONE_KILL]
        ends = [(p, exact) for p in programs if p.name == "tests test"]
        return ends + [(program, []) for program in changed]
    if tier == "test":
        return [(program, []) for program in programs]
    set_up = Program("deploy set-up", ROOT / "deploy/libtorch.test.sh", ROOT)
    skipped = [word for name in ELSEWHERE for word in ("--skip", name)]
    return [(program, ["--ignored", *skipped]) for program in programs] + [(set_up, [])]


def main():
    if len(sys.argv) != 2 or sys.argv[1] not in ("quick", "test", "rest"):
        sys.exit(__doc__)
    tier = sys.argv[1]
    programs = build()
    # The file lies beside the folder of the test programs, wherever cargo puts that.
    memory = Path(programs[0].path).parents[1] / "tests-passed.json"
    passed = json.loads(memory.read_text()) if memory.exists() else {}
    waiting = tasks(tier, programs, passed)
    # Most threads of the end-to-end tests wait; see src/permit.rs.
    threads = str(max(8, 4 * (os.cpu_count() or 2)))
    failed, lock, todo = [], threading.Lock(), queue.SimpleQueue()
    for task in waiting:
        todo.put(task)

    def work():
        while True:
            try:
                program, arguments = todo.get_nowait()
            except queue.Empty:
                return
            # The end-to-end tests take longest, so the others run at a lower priority.
            end_to_end = program.name == "tests test"
            more = {"RUST_TEST_THREADS": threads} if end_to_end else {}
            code, output, seconds = program.run(arguments, more, 0 if end_to_end else 10)
            with lock:
                print(f"\n     Running {program.name} ({program.path})\n{output.strip()}")
                print(f"{program.name}: {seconds:.1f} s", flush=True)
                if code:
                    failed.append(program.name)
                    passed.pop(program.path, None)
                elif tier != "rest":
                    passed[program.path] = program.state

    workers = [threading.Thread(target=work) for _ in range(AT_A_TIME)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    known = {program.path for program in programs}
    memory.write_text(json.dumps({path: state for path, state in passed.items() if path in known}))
    if failed:
        sys.exit(f"error: tests failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
