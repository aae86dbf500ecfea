#!/usr/bin/env python3
"""Counts the instructions that the kernels' inner loops issue per number, without a GPU.

    sass_budget.py [--limits FILE] [--json FILE] [--second F] [CUBIN ...]
    sass_budget.py --tools

Without a cubin, the kernels are compiled as the library has them, for sm_90. nvcc and nvdisasm are looked for on PATH,
in /usr/local/cuda/bin and in the Python packages of NVIDIA (pip install nvidia-cuda-nvdisasm), or given by --nvcc,
--nvdisasm; --tools tells which are found, and ends. Exits with 1 if a kernel is over its limits:
bench/sass_limits.json holds what has been reached, so that it gets no worse. The goals, for bf16 with
bf16 means, are 50 to decode and 65 to encode. Exits with 77 where nothing can be counted: without one of
the two programs, or with limits and an nvcc of another release than they were reached with. (cuobjdump
is no substitute for nvdisasm, it calls it.)

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
    weighted  main + second * F, where F is how many steps have escapes; by default what is counted in
              real files of bf16 with bf16 means. A little too much: what a group pays once is counted
              for each of its steps with escapes.
    row       the cheapest way round the enclosing loop that skips the inner one: once for a
              token's row.

Kernels of linear propagation have no such loop: only what follows is told of them.

Registers and the stack frame are attributes in .nv.info; spills are LDL and STL instructions.
"""
import argparse
import concurrent.futures
import fnmatch
import heapq
import importlib.util
import json
import os
import pathlib
import re
import shutil
import struct
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
FORMATS = {"1": "bf16", "2": "fp16", "3": "e4m3", "4": "e5m2"}
ATTRIBUTES = {0x11: "local_bytes", 0x2F: "registers"}  # EIATTR_FRAME_SIZE, EIATTR_REGCOUNT
SKIPPED = 77
SOURCES = {"0": "none", "1": "previous_token", "2": "given"}


def short_name(mangled):
    """decode/bf16/given/bf16/one_row or linear/update/e4m3/bf16, or the mangled name of another kernel."""
    linear = re.search(r"\d+(hide|predict|update|take)_kernel(?:I(.*))?", mangled)
    if linear:
        return "/".join(["linear", linear.group(1), *(
            FORMATS[f] for f in re.findall(r"(?:format_idE|LS\d_)(\d)E", linear.group(2) or ""))])
    m = re.search(r"\d+([a-z]+)_kernelI.*?format_idE(\d).*?mean_sourceE(\d)E(.*)", mangled)
    if not m:
        return mangled
    kind, target, source, rest = m.groups()
    mean = re.match(r".*?L\w*?(\d)ELj\d+ELj\d+E", rest)
    mean = FORMATS[mean.group(1)] if mean else "?"
    rows = "one_row" if re.search(r"ELb1E", rest) else "heads"
    return "/".join([kind, FORMATS[target], SOURCES[source], mean, rows])


def sections(cubin):
    """Name and content of every ELF section; of one without content, its size."""
    data = cubin.read_bytes()
    table, = struct.unpack_from("<Q", data, 0x28)
    size, count, names = struct.unpack_from("<HHH", data, 0x3A)
    headers = [struct.unpack_from("<IIQQQQIIQQ", data, table + i * size) for i in range(count)]
    start = headers[names][4]
    for h in headers:
        end = data.index(b"\0", start + h[0])
        yield data[start + h[0]:end].decode(), h[5] if h[1] == 8 else data[h[4]:h[4] + h[5]]


def resources(cubin):
    """Registers, stack bytes and static shared bytes of every kernel."""
    found = {}
    attributes, symbols, strings = [], b"", b""
    for name, content in sections(cubin):
        if name.startswith(".text."):
            found[name[6:]] = {"registers": 0, "local_bytes": 0, "shared_bytes": 0}
        elif name == ".symtab":
            symbols = content
        elif name == ".strtab":
            strings = content
        elif name == ".nv.info":
            at = 0
            while at + 4 <= len(content):
                kind, attribute, size = struct.unpack_from("<BBH", content, at)
                at += 4
                if kind != 4:
                    continue
                if attribute in ATTRIBUTES:
                    attributes.append((attribute, *struct.unpack_from("<II", content, at)))
                at += size
    for name, content in sections(cubin):
        if name.startswith(".nv.shared.") and name[11:] in found:
            found[name[11:]]["shared_bytes"] = content if isinstance(content, int) else len(content)
    for attribute, symbol, value in attributes:
        at, = struct.unpack_from("<I", symbols, symbol * 24)
        name = strings[at:strings.index(b"\0", at)].decode()
        if name in found:
            found[name][ATTRIBUTES[attribute]] = value
    return found


class Block:
    def __init__(self):
        self.instructions, self.next = [], []

    def count(self, pattern):
        return sum(bool(re.search(pattern, i)) for i in self.instructions)


def kernels(listing):
    """The basic blocks of every kernel in an nvdisasm listing; the first is the entry."""
    for text in re.split(r"\n(?=\.text\.)", listing)[1:]:
        lines = text.split("\n")
        blocks, labels, jumps, open_block = [Block()], {}, [], True
        for line in lines[1:]:
            label = re.match(r"(\.L\w+):", line)
            code = re.match(r"\s+/\*[0-9a-f]{4,}\*/\s+(.*?)\s*;", line)
            if line.startswith("\t.section") or line.startswith(".text."):
                break
            if label:
                if blocks[-1].instructions or not open_block:
                    if open_block:
                        blocks[-1].next.append(len(blocks))
                    blocks.append(Block())
                labels[label.group(1)] = len(blocks) - 1
                open_block = True
            elif code:
                if not open_block:
                    blocks.append(Block())
                    open_block = True
                instruction = re.sub(r"/\*.*?\*/", "", code.group(1)).strip()
                blocks[-1].instructions.append(instruction)
                m = re.match(r"(@!?U?P\w+\s+)?(BRA|BRX|JMP|EXIT|RET|KILL|BPT)\b(\S*)(.*)", instruction)
                if not m or m.group(3).startswith(".DIV") or m.group(2) == "BPT":
                    continue
                target = re.search(r"`\((\.L\w+)\)", m.group(4))
                if target:
                    jumps.append((len(blocks) - 1, target.group(1)))
                guard = m.group(1) or re.search(r"^\s*!?U?P\d,", m.group(4))
                if guard:
                    blocks[-1].next.append(len(blocks))
                    blocks.append(Block())
                else:
                    open_block = False
        for block, target in jumps:
            blocks[block].next.append(labels[target])
        yield lines[0].removeprefix(".text.").rstrip(":"), blocks


def natural_loops(blocks):
    """{header: blocks of its loop}."""
    before = [[] for _ in blocks]
    order, seen, stack = [], {0}, [(0, iter(blocks[0].next))]
    while stack:
        b, successors = stack[-1]
        n = next((n for n in successors if n not in seen), None)
        if n is None:
            order.append(b)
            stack.pop()
        else:
            seen.add(n)
            stack.append((n, iter(blocks[n].next)))
    order.reverse()
    for b in order:
        for n in blocks[b].next:
            before[n].append(b)
    dominators = {b: set(order) for b in order}
    dominators[0] = {0}
    changed = True
    while changed:
        changed = False
        for b in order[1:]:
            d = set.intersection(*(dominators[p] for p in before[b])) | {b}
            if d != dominators[b]:
                dominators[b], changed = d, True
    loops = {}
    for b in order:
        for header in blocks[b].next:
            if header not in dominators[b]:
                continue
            loop = loops.setdefault(header, {header})
            work = [b]
            while work:
                w = work.pop()
                if w not in loop:
                    loop.add(w)
                    work += before[w]
    return loops


IS_LOOKUP, IS_BALLOT = r"\bLDS", r"\bVOTE\S* U?R\d+"


def ways(blocks, header, loop, without=frozenset()):
    """The cheapest ways round a loop: {(look-ups, ballots): instructions}."""
    cost = {b: (len(blocks[b].instructions), blocks[b].count(IS_LOOKUP), blocks[b].count(IS_BALLOT))
            for b in loop}
    best, heap = {}, [(cost[header][0], header, cost[header][1:], frozenset())]
    closed, done = {}, set()
    while heap:
        n, b, counted, _ = heapq.heappop(heap)
        if (b, counted) in done:
            continue
        done.add((b, counted))
        for s in blocks[b].next:
            if s == header:
                closed.setdefault(counted, n)
            elif s in loop and s not in without and max(counted) < 16:
                c = cost[s]
                heapq.heappush(heap, (n + c[0], s, (counted[0] + c[1], counted[1] + c[2]), _))
    return closed


def is_step_loop(blocks, header, loop):
    """Does every way round look something up, and is there a ballot?"""
    if not any(blocks[b].count(IS_BALLOT) for b in loop) or blocks[header].count(IS_LOOKUP):
        return any(blocks[b].count(IS_BALLOT) for b in loop)
    seen, work = {header}, [header]
    while work:
        for s in blocks[work.pop()].next:
            if s == header:
                return False
            if s in loop and s not in seen and not blocks[s].count(IS_LOOKUP):
                seen.add(s)
                work.append(s)
    return True


def hot_loop(blocks):
    loops = natural_loops(blocks)
    best = None
    for header, loop in loops.items():
        if not is_step_loop(blocks, header, loop):
            continue
        closed = ways(blocks, header, loop)
        lookups, ballots = min(closed)
        if ballots < lookups:  # it only looks for escapes
            continue
        n = closed[lookups, ballots]
        # The encoder looks the escape's entry up.
        second = closed.get((lookups + 1, ballots + 1), closed.get((lookups, ballots + 1), n)) - n
        found = {"main": n / lookups, "second": second, "steps_per_round": lookups,
                 "loop_instructions": sum(len(blocks[b].instructions) for b in loop)}
        outer = [(len(l), h) for h, l in loops.items() if l > loop]
        if outer:
            h = min(outer)[1]
            rows = ways(blocks, h, loops[h], without=loop - {header})
            found["row"] = min(rows.values(), default=None)
        if best is None or (-lookups, found["main"]) < (-best["steps_per_round"], best["main"]):
            best = found
    return best


def tool_path():
    """Folders that may have NVIDIA's programs, the user's choice first."""
    packages = importlib.util.find_spec("nvidia")
    folders = [folder for root in (packages.submodule_search_locations or () if packages else ())
               for folder in sorted(pathlib.Path(root).glob("*/bin"))]
    return os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/local/cuda/bin", *map(str, folders)])


def missing(arguments, limits):
    """Why nothing can be counted, or None. Finds the programs."""
    for tool in ["nvdisasm"] if arguments.cubin else ["nvdisasm", "nvcc"]:
        name = getattr(arguments, tool)
        found = shutil.which(name, path=tool_path())
        if not found:
            return f"{name} is not there"
        setattr(arguments, tool, found)
    if limits and not arguments.cubin:
        version = subprocess.run([arguments.nvcc, "--version"], check=True, text=True,
                                 capture_output=True).stdout
        release = re.search(r"release (\d+\.\d+)", version)
        if not release or release.group(1) != limits["nvcc"]:
            return f"the limits hold for nvcc {limits['nvcc']}, not for " + (
                release.group(1) if release else arguments.nvcc)
    return None


def compiled(arguments, folder):
    """The objects that the library is made of, for sm_90."""
    sources = [(kind, target) for kind in ("encode", "decode") for target in FORMATS.values()]

    def compile_one(source):
        kind, target = source
        cubin = pathlib.Path(folder) / "-".join(filter(None, source))
        subprocess.run([arguments.nvcc, "-std=c++20", "-O3", "-arch=sm_90", "-cubin", "-I", HERE.parent,
                        "-I", HERE.parent / "include", *([f"-DSKV_TARGET={target}"] if target else []),
                        *arguments.flag, "-o", cubin, HERE.parent / "kernels" / f"{kind}.cu"],
                       check=True)
        return cubin

    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(compile_one, [*sources, ("linear", "")]))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("cubin", nargs="*", type=pathlib.Path)
    parser.add_argument("--nvcc", default="nvcc")
    parser.add_argument("--nvdisasm", default="nvdisasm")
    parser.add_argument("--tools", action="store_true", help="tell which programs are found, and end")
    parser.add_argument("--flag", action="append", default=[], help="for nvcc")
    parser.add_argument("--limits", type=pathlib.Path)
    parser.add_argument("--json", type=pathlib.Path)
    parser.add_argument("--second", type=float, default=0.0178,
                        help="steps with an escape, of all steps")
    arguments = parser.parse_args()
    limits = json.loads(arguments.limits.read_text()) if arguments.limits else None
    reason = missing(arguments, limits)
    if reason:
        print("skipped:", reason)
        return SKIPPED
    if arguments.tools:
        print(arguments.nvcc, arguments.nvdisasm)
        return 0

    table = []
    with tempfile.TemporaryDirectory() as folder:
        for cubin in arguments.cubin or compiled(arguments, folder):
            used = resources(cubin)
            listing = subprocess.run([arguments.nvdisasm, "-c", "-ndf", cubin], check=True, text=True,
                                     capture_output=True).stdout
            for name, blocks in kernels(listing):
                loop = hot_loop(blocks)
                row = {"kernel": short_name(name), **(loop or {}), **used[name]}
                if loop:
                    row["weighted"] = row["main"] + arguments.second * row["second"]
                elif not row["kernel"].startswith("linear/"):
                    continue
                row["spills"] = sum(b.count(r"\b(STL|LDL)") for b in blocks)
                row["instructions"] = sum(len(b.instructions) for b in blocks)
                table.append(row)
    columns = ["main", "second", "weighted", "row", "steps_per_round", "registers", "spills",
               "local_bytes", "shared_bytes", "instructions"]
    print("%-34s" % "kernel", *("%9s" % c[:9] for c in columns))
    for row in table:
        print("%-34s" % row["kernel"],
              *("%9.1f" % v if isinstance(v, float) else "%9s" % v
                for v in (row.get(c, "-") for c in columns)))
    if arguments.json:
        arguments.json.write_text(json.dumps(table, indent=2) + "\n")

    over = 0
    for pattern, most in limits["kernels"].items() if limits else ():
        matching = [row for row in table if fnmatch.fnmatch(row["kernel"], pattern)]
        if not matching:
            print("no kernel matches", pattern, file=sys.stderr)
            over += 1
        for row in matching:
            for what, limit in most.items():
                if row[what] > limit:
                    print(f"{row['kernel']}: {what} is {row[what]:g}, over {limit:g}", file=sys.stderr)
                    over += 1
    return 1 if over else 0


if __name__ == "__main__":
    sys.exit(main())
