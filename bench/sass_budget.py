#!/usr/bin/env python3
"""Counts, without a GPU, the instructions that the kernels' inner loops issue per number, and how many of their
threads a multiprocessor runs at once.

    sass_budget.py [--architecture N] [--limits FILE] [--json FILE] [FILE ...]
    sass_budget.py --tools

Files are cubins, or objects that nvcc made; without any, the kernels are compiled as the library has them. nvcc
and nvdisasm are looked for on PATH, in /usr/local/cuda/bin and in the Python packages of NVIDIA (pip install
nvidia-cuda-nvdisasm), or given by --nvcc, --nvdisasm; --tools tells which are found, and ends. Exits with 1 if a
kernel is over its limits:
bench/sass_limits.json holds what has been reached, so that it gets no worse. The goals, for bf16 with bf16 means, are
50 to decode and 65 to encode, and half of the threads for coders. Exits with 77 where nothing can be counted: without
one of the two programs, or with limits and an nvcc of another release than they were reached with. (cuobjdump is no
substitute for nvdisasm, it calls it.)

Method. nvdisasm's listing of a kernel is cut into basic blocks at its labels and branches. BRA.DIV is
no edge: it leaves for the code of a diverged warp, which has no work here. Dominators give the
natural loops. The loop of steps is one that looks up the table (LDS) every way round, and ballots for
words (VOTE into a register, one for each `take` or `put`) as often; a kernel may have several, one for
whole groups of steps and others for the rest of a row: of those with the most steps the cheapest counts.
One look-up is one step of 32 numbers, a lane each, so instructions of the loop / look-ups = instructions
per number.

    main      the cheapest way round the loop with the fewest look-ups and ballots: no escapes, no
              tail. Every instruction counts, predicated or uniform: it takes an issue slot.
    second    what the cheapest way with one ballot more costs beyond that (for an encoder, with one
              look-up more, too): a group of steps, one of which has escapes.
    weighted  main + second * F, where F is how many steps have escapes: of the kernels that the limits
              file tells it for, as counted in real files. A little too much: what a group pays once is
              counted for each of its steps with escapes.
    row       the cheapest way round the enclosing loop that skips the inner one: once for a
              token's row.

Kernels of linear propagation, and those that move compressed blocks, have no such loop: only what follows is
told of them.

Registers and the stack frame are attributes in .nv.info; spills are LDL and STL instructions; generic are accesses
of which the compiler does not know that they are of device memory (LD, ST): not those of atomics (STRONG), but
libcu++'s way for local memory in an atomic, which is never gone. Static shared memory is
the size of a section, on sm_90 with the 1 KiB that the system takes. Dynamic shared memory and threads are what the
host's code says (sass/launches.cu, which is compiled and run). occupancy is in percent of the threads that a
multiprocessor has room for (sass/occupancy.py), bound by what stands beside it.
"""
import argparse
import concurrent.futures
import fnmatch
import importlib.util
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True  # nothing is written to the source tree
from sass.cubin import FORMATS, device_code, resources, short_name
from sass.loops import hot_loop, kernels
from sass.occupancy import MULTIPROCESSORS, occupancy

ROOT = pathlib.Path(__file__).resolve().parent.parent
SKIPPED = 77


def tool_path():
    """Folders that may have NVIDIA's programs, the user's choice first."""
    packages = importlib.util.find_spec("nvidia")
    folders = [folder for root in (packages.submodule_search_locations or () if packages else ())
               for folder in sorted(pathlib.Path(root).glob("*/bin"))]
    return os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/local/cuda/bin", *map(str, folders)])


def missing(arguments, limits):
    """Why nothing can be counted, or None. Finds the programs."""
    for tool in ["nvdisasm", "nvcc"]:
        name = getattr(arguments, tool)
        found = shutil.which(name, path=tool_path())
        if not found:
            return f"{name} is not there"
        setattr(arguments, tool, found)
    if limits:
        version = subprocess.run([arguments.nvcc, "--version"], check=True, text=True,
                                 capture_output=True).stdout
        release = re.search(r"release (\d+\.\d+)", version)
        if not release or release.group(1) != limits["nvcc"]:
            return f"the limits hold for nvcc {limits['nvcc']}, not for " + (
                release.group(1) if release else arguments.nvcc)
    return None


def compile_command(arguments):
    return [arguments.nvcc, "-std=c++20", "-O3", f"-arch=sm_{arguments.architecture}", "-I", ROOT,
            "-I", ROOT / "include", *arguments.flag]


def compiled(arguments, folder):
    """The objects that the library is made of."""
    sources = [(kind, target) for kind in ("encode", "decode") for target in FORMATS.values()]

    def compile_one(source):
        kind, target = source
        cubin = pathlib.Path(folder) / "-".join(filter(None, source))
        subprocess.run([*compile_command(arguments), "-cubin", *([f"-DSKV_TARGET={target}"] if target else []),
                        "-o", cubin, ROOT / "kernels" / f"{kind}.cu"], check=True)
        return cubin

    sources += [("linear", ""), ("compact", ""), ("pool", "")]
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(compile_one, sources))


def extracted(arguments, folder):
    """The cubins in the files that are given."""
    for path in arguments.file:
        try:
            codes = device_code(path, arguments.architecture)
        except (OSError, ValueError) as e:
            sys.exit(str(e))
        for code in codes:
            with tempfile.NamedTemporaryFile(dir=folder, suffix=".cubin", delete=False) as cubin:
                cubin.write(code)
            yield pathlib.Path(cubin.name)


def launches(arguments, folder):
    """How the host may launch every kernel: {name: [(threads, dynamic shared bytes)]}, smaller blocks first."""
    program = pathlib.Path(folder) / "launches"
    subprocess.run([*compile_command(arguments), "-o", program, ROOT / "bench/sass/launches.cu"], check=True)
    lines = subprocess.run([program], check=True, text=True, capture_output=True).stdout.split("\n")
    found = {}
    for name, threads, dynamic in map(str.split, lines[:-1]):
        found.setdefault(name, []).append((int(threads), int(dynamic)))
    return found


def escapes_of(limits, kernel):
    """How many of a kernel's steps have escapes, or None where nobody has counted."""
    found = [e["frequency"] for e in limits["escapes"] if fnmatch.fnmatch(kernel, e["kernels"])]
    return found[0] if found else None


def rows_of(cubin, arguments, launched, limits):
    used = resources(cubin)
    listing = subprocess.run([arguments.nvdisasm, "-c", "-ndf", cubin], check=True, text=True,
                             capture_output=True).stdout
    for mangled, blocks in kernels(listing):
        name = short_name(mangled)
        if name is None:
            continue
        row = {"kernel": name, **used[mangled]}
        if "code/" in name:
            row.update(hot_loop(blocks) or sys.exit(f"{name}: no loop of steps was found"))
            frequency = escapes_of(limits, name) if limits else None
            if frequency is not None:
                row["weighted"] = row["main"] + frequency * row["second"]
        row["spills"] = sum(b.count(r"\b(STL|LDL)") for b in blocks)
        row["generic"] = sum(b.count(r"\b(LD|ST)\.(?!.*\bSTRONG\b)") for b in blocks)
        row["instructions"] = sum(len(b.instructions) for b in blocks)
        # The host takes the size of which most threads run at once; of several the smallest.
        for threads, dynamic in launched[name]:
            share, bound = occupancy(arguments.architecture, threads, row["registers"], row["shared_bytes"],
                                     dynamic)
            if 100 * share > row.get("occupancy", -1):
                row.update(threads=threads, dynamic_bytes=dynamic, occupancy=100 * share, bound=bound)
        yield row


COLUMNS = {"main": "main", "second": "second", "weighted": "weighted", "row": "row",
           "steps_per_round": "steps", "registers": "registers", "spills": "spills",
           "local_bytes": "local", "generic": "generic", "shared_bytes": "static", "dynamic_bytes": "dynamic",
           "threads": "threads", "occupancy": "occupancy", "bound": "bound",
           "instructions": "instr."}


def print_table(table):
    print("%-36s" % "kernel", *("%9s" % c for c in COLUMNS.values()))
    for row in table:
        print("%-36s" % row["kernel"], *("%9.1f" % v if isinstance(v, float) else "%9s" % v
                                         for v in ("-" if row.get(c) is None else row[c] for c in COLUMNS)))


def over_limits(table, limits):
    """What is wrong, a line each. {"most": {...}, "least": {...}} for each pattern of names."""
    for pattern, bounds in limits["kernels"].items():
        matching = [row for row in table if fnmatch.fnmatch(row["kernel"], pattern)]
        if not matching:
            yield f"no kernel matches {pattern}"
        for row in matching:
            for what, limit in bounds.get("most", {}).items():
                if row[what] > limit:
                    yield f"{row['kernel']}: {what} is {row[what]:g}, over {limit:g}"
            for what, limit in bounds.get("least", {}).items():
                if row[what] < limit:
                    yield f"{row['kernel']}: {what} is {row[what]:g}, under {limit:g}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("file", nargs="*", type=pathlib.Path)
    parser.add_argument("--nvcc", default="nvcc")
    parser.add_argument("--nvdisasm", default="nvdisasm")
    parser.add_argument("--tools", action="store_true", help="tell which programs are found, and end")
    parser.add_argument("--flag", action="append", default=[], help="for nvcc")
    parser.add_argument("--architecture", type=int, default=90, choices=MULTIPROCESSORS)
    parser.add_argument("--limits", type=pathlib.Path, help="of sm_90")
    parser.add_argument("--json", type=pathlib.Path)
    arguments = parser.parse_args()
    limits = json.loads(arguments.limits.read_text()) if arguments.limits else None
    if limits and arguments.architecture != limits["architecture"]:
        parser.error(f"the limits hold for sm_{limits['architecture']}")
    reason = missing(arguments, limits)
    if reason:
        print("skipped:", reason)
        return SKIPPED
    if arguments.tools:
        print(arguments.nvcc, arguments.nvdisasm)
        return 0

    with tempfile.TemporaryDirectory() as folder:
        launched = launches(arguments, folder)
        cubins = (extracted if arguments.file else compiled)(arguments, folder)
        table = [row for cubin in cubins for row in rows_of(cubin, arguments, launched, limits)]
    print_table(table)
    if arguments.json:
        arguments.json.write_text(json.dumps(table, indent=2) + "\n")
    wrong = list(over_limits(table, limits)) if limits else []
    for line in wrong:
        print(line, file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
