"""Runs tests written as functions: run(module files, command line). Each test gets a Lab of its own.

    @test                        a test; its name is the function's
    def two_offices(lab): ...
    @test(params)                one test for each (name, arguments...) of params
"""
import argparse
import concurrent.futures
import importlib.util
import os
import pathlib
import signal
import subprocess
import sys
import time
import traceback

from lab import Failure, Lab

TESTS = []


class Skip(Exception):
    """The machine lacks what the test needs; the text says what."""


def test(function_or_params):
    if callable(function_or_params):
        TESTS.append((function_or_params.__name__, function_or_params, ()))
        return function_or_params

    def register(function):
        for name, *arguments in function_or_params:
            TESTS.append((f"{function.__name__}[{name}]", function, tuple(arguments)))
        return function
    return register


def interrupted(*_):
    """Ends the test, whose Lab then removes everything; a second signal must not disturb that."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def main(directory, jobs=1):
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", default=str(pathlib.Path(directory).resolve().parent / "build/release"))
    parser.add_argument("--results", help="file for lines PASS, FAIL, SKIP")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--jobs", type=int, default=jobs, help="tests at a time; each has namespaces of its own")
    parser.add_argument("--exactly", action="store_true", help="names are whole names")
    parser.add_argument("--without", action="append", default=[], help="no tests whose names have this in them")
    parser.add_argument("names", nargs="*", help="parts of names of tests; default: all")
    options = parser.parse_args()
    # A shell's background job ignores SIGINT, and so would all that tests start and end with it.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, interrupted)
    sys.modules.setdefault("runner", sys.modules[__name__])
    for path in sorted(pathlib.Path(directory).glob("test_*.py")):
        spec = importlib.util.spec_from_file_location(path.stem, path)
        spec.loader.exec_module(importlib.util.module_from_spec(spec))
    chosen = [t for t in TESTS if not options.names or any(n == t[0] if options.exactly else n in t[0] for n in options.names)]
    chosen = [t for t in chosen if not any(n in t[0] for n in options.without)]
    if options.list:
        print("\n".join(t[0] for t in chosen))
        return 0
    if options.results:
        pathlib.Path(options.results).parent.mkdir(parents=True, exist_ok=True)
    if options.jobs > 1 and len(chosen) > 1:
        return run_in_parallel([name for name, *_ in chosen], options)
    results = open(options.results, "w") if options.results else None
    label, failed = f"({pathlib.Path(options.build).name})", 0
    for name, function, arguments in chosen:
        begun, outcome, detail = time.monotonic(), "PASS", ""
        try:
            with Lab(options.build) as lab:
                try:
                    function(lab, *arguments)
                except BaseException:
                    keep_logs(lab, name, options)
                    raise
        except Skip as skip:
            outcome, detail = "SKIP", f": {skip}"
        except KeyboardInterrupt:
            raise
        except Exception as error:
            outcome, failed = "FAIL", failed + 1
            print(f"{error}" if isinstance(error, Failure) else traceback.format_exc())
            where = traceback.extract_tb(error.__traceback__)
            ours = [frame for frame in where if "test_" in frame.filename]
            if ours:
                print(f"  at {ours[-1].filename}:{ours[-1].lineno}: {ours[-1].line}")
        print(f"{outcome} {name} {time.monotonic() - begun:.1f} s{detail}", flush=True)
        if results:
            results.write(f"{outcome} {name} {label}{detail}\n")
            results.flush()
    print(f"{len(chosen)} tests, {failed} failed")
    return 1 if failed else 0


def run_in_parallel(names, options):
    """Each test in a process of its own: they mostly wait, for timers and for each other's daemons."""
    children = []

    def run_one(name):
        results = f"{options.results}.{names.index(name)}" if options.results else None
        ended = subprocess.Popen([sys.executable, "-u", sys.argv[0], "--build", options.build, "--jobs", "1", "--exactly", name, *(["--results", results] if results else [])],
                                 stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        children.append(ended)
        output = ended.communicate()[0].splitlines()
        print("\n".join(output[:-1] if ended.returncode <= 1 else output), flush=True)
        line = f"FAIL {name} ({pathlib.Path(options.build).name}): the runner ended with {ended.returncode}\n"
        if results and os.path.exists(results):
            line = pathlib.Path(results).read_text() or line
            os.unlink(results)
        return line, ended.returncode
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        try:
            outcomes = list(pool.map(run_one, names))
        except KeyboardInterrupt:  # each has a lab to remove
            for child in children:
                child.terminate()
            raise
    if options.results:
        pathlib.Path(options.results).write_text("".join(line for line, _ in outcomes))
    failed = sum(code != 0 for _, code in outcomes)
    print(f"{len(names)} tests, {failed} failed")
    return 1 if failed else 0


def keep_logs(lab, name, options):
    """The logs and captures of a failed test stay beside the results."""
    if not options.results:
        return
    import shutil
    target = pathlib.Path(options.results).parent / "failed" / "".join(c if c.isalnum() else "-" for c in name)
    shutil.rmtree(target, ignore_errors=True)
    try:
        shutil.copytree(lab.directory, target, symlinks=True, ignore=lambda d, names: [n for n in names if not pathlib.Path(d, n).is_file() and not pathlib.Path(d, n).is_dir()])
    except (OSError, shutil.Error):
        pass
