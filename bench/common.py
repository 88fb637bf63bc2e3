"""What the benchmarks share: packages, the build, programs that take turns, medians, rows."""
import os
import pathlib
import statistics
import subprocess
import sys
from dataclasses import dataclass, field

ROOT = pathlib.Path(__file__).resolve().parent.parent


class Trouble(Exception):
    """Why a benchmark cannot run; for people."""


def say(text):
    print(text, file=sys.stderr, flush=True)


# ---- Packages and the build.

def is_installed(package):
    result = subprocess.run(["dpkg-query", "-W", "-f", "${Status}", package], capture_output=True, text=True)
    return "ok installed" in result.stdout


def install(packages):
    """Debian's packages, as tools/install-dependencies does it: no daemon starts by itself."""
    command = [ROOT / "tools/install-dependencies", "build"]
    if subprocess.run(command, stdout=sys.stderr).returncode != 0:
        raise Trouble("the packages that Merlon is built with could not be installed")
    missing = sorted(package for package in packages if not is_installed(package))
    if not missing:
        return
    if os.geteuid() != 0:
        raise Trouble(f"run as root, or install: {' '.join(missing)}")
    say(f"Installing {' '.join(missing)} ...")
    policy = pathlib.Path("/usr/sbin/policy-rc.d")
    ours = not policy.exists()
    if ours:
        policy.write_text("#!/bin/sh\nexit 101\n")
        policy.chmod(0o755)
    try:
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        for command in (["apt-get", "update", "-qq"], ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *missing]):
            result = subprocess.run(command, capture_output=True, text=True, env=environment)
            if result.returncode != 0:
                raise Trouble(f"{' '.join(command)}: {result.stderr[-500:]}")
    finally:
        if ours:
            policy.unlink()


def build(folder, targets):
    """The programs, with the release preset; a folder that is given is taken as it is, and only what it lacks is built."""
    if folder is None:
        folder = ROOT / "build/bench"
        run_quietly(["cmake", "--preset", "release", "-B", folder, "-DMERLON_BENCH=ON", "-DMERLON_TESTS=OFF"], cwd=ROOT)
        run_quietly(["ninja", "-C", folder, *sorted(targets)])
    folder = pathlib.Path(folder).resolve()
    for target in targets:
        program(folder, target)
    return folder


def run_quietly(command, **kwargs):
    say(" ".join(str(word) for word in command))
    result = subprocess.run([str(word) for word in command], capture_output=True, text=True, **kwargs)
    if result.returncode != 0:
        raise Trouble(f"{command[0]} failed:\n{result.stdout[-3000:]}{result.stderr[-3000:]}")


def program(folder, name):
    for path in (folder / "bench" / name, folder / name):
        if path.exists():
            return path
    raise Trouble(f"{folder} has no {name}: was it configured with -DMERLON_BENCH=ON?")


# ---- Programs that take turns.

def quietest_cpu():
    """The last one: interrupts and the system's own work gather on the first."""
    return max(os.sched_getaffinity(0))


class Server:
    """A program that does what a line on its standard input says and answers with a line."""

    def __init__(self, name, path, *arguments, cpu=None):
        self.name = name
        command = [str(path), *map(str, arguments)]
        if cpu is not None:
            command = ["taskset", "-c", str(cpu), *command]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, line):
        try:
            self.process.stdin.write(line + "\n")
            self.process.stdin.flush()
            answer = self.process.stdout.readline()
        except BrokenPipeError:
            answer = ""
        if not answer:
            raise Trouble(f"{self.name} ended with {self.process.wait()} at \"{line}\"")
        return answer.strip()

    def numbers(self, line):
        return [float(word) for word in self.ask(line).split()[1:]]

    def close(self):
        self.process.stdin.close()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


# ---- Numbers.

@dataclass
class Sample:
    """What one program measured in all rounds."""
    values: list = field(default_factory=list)

    def add(self, values):
        self.values += values if isinstance(values, list) else [values]

    @property
    def median(self):
        return statistics.median(self.values)

    @property
    def spread(self):
        """Half the distance between the quartiles, in parts of the median."""
        if len(self.values) < 4 or self.median == 0:
            return (max(self.values) - min(self.values)) / 2 / self.median if self.median else 0.0
        low, _, high = statistics.quantiles(self.values, n=4)
        return (high - low) / 2 / self.median


@dataclass
class Row:
    case: str
    metric: str
    unit: str
    ours: float
    peer: float
    peer_name: str
    more_is_better: bool = False
    ours_spread: float = 0.0
    peer_spread: float = 0.0

    @property
    def ratio(self):
        if not self.ours or not self.peer:
            return 0.0
        return self.ours / self.peer if self.more_is_better else self.peer / self.ours

    def as_json(self):
        return {"case": self.case, "metric": self.metric, "unit": self.unit, "ours": significant(self.ours), "peer": significant(self.peer),
                "peer_name": self.peer_name, "ratio": significant(self.ratio)}


def row(case, metric, unit, ours, peer, peer_name, more_is_better=False):
    """A row of two samples."""
    return Row(case, metric, unit, ours.median, peer.median, peer_name, more_is_better, ours.spread, peer.spread)


def significant(value, digits=4):
    return float(f"{value:.{digits}g}")


def people(value):
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def print_table(rows):
    """One line a row; a spread is half the distance between the quartiles."""
    head = ("case", "metric", "ours", "±", "peer", "±", "unit", "ratio", "peer's name")
    lines = [head] + [(r.case, r.metric, people(r.ours), f"{r.ours_spread:.0%}", people(r.peer), f"{r.peer_spread:.0%}", r.unit, f"{r.ratio:.2f}", r.peer_name)
                      for r in rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    for line in lines:
        print("  ".join(text.rjust(width) if i in (2, 3, 4, 5, 7) else text.ljust(width) for i, (text, width) in enumerate(zip(line, widths))).rstrip())
    print("A ratio above 1 means that ours is better. ± is half the distance between the quartiles.")


def print_markdown(rows):
    """Rows as as_json() gives them, for docs/performance.md."""
    print("| case | metric | ours | peer | unit | ratio | peer's name |\n|---|---|--:|--:|---|--:|---|")
    for r in rows:
        print(f"| {r['case']} | {r['metric']} | {people(r['ours'])} | {people(r['peer'])} | {r['unit']} | {r['ratio']:.2f} | {r['peer_name']} |")
