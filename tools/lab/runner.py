"""Runs tests written as functions: run(module files, command line). Each test gets a Lab of its own.

    @test                        a test; its name is the function's
    def two_offices(lab): ...
    @test(params)                one test for each (name, arguments...) of params
"""
import argparse
import importlib.util
import pathlib
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


def main(directory):
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", default=str(pathlib.Path(directory).resolve().parent / "build/release"))
    parser.add_argument("--results", help="file for lines PASS, FAIL, SKIP")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("names", nargs="*", help="parts of names of tests; default: all")
    options = parser.parse_args()
    sys.modules.setdefault("runner", sys.modules[__name__])
    for path in sorted(pathlib.Path(directory).glob("test_*.py")):
        spec = importlib.util.spec_from_file_location(path.stem, path)
        spec.loader.exec_module(importlib.util.module_from_spec(spec))
    chosen = [t for t in TESTS if not options.names or any(n in t[0] for n in options.names)]
    if options.list:
        print("\n".join(t[0] for t in chosen))
        return 0
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
