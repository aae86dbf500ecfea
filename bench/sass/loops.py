"""The loop of steps in nvdisasm's listing of a kernel, and the cheapest ways round it; the method is that of
sass_budget.py."""
import functools
import heapq
import itertools
import math
import operator
import re


class Block:
    def __init__(self):
        self.instructions, self.next = [], []

    @functools.cache
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


def ways(blocks, header, loop, counted=(), most=0):
    """The cheapest ways round a loop on which no pattern is found more often than `most` times: {how often each is:
    instructions}."""
    cost = {b: (len(blocks[b].instructions), tuple(map(blocks[b].count, counted))) for b in loop}
    instructions, counts = cost[header]
    closed, known, heap = {}, {}, []
    if max(counts, default=0) <= most:
        heap.append((instructions, header, counts))
    while heap:
        n, b, counts = heapq.heappop(heap)
        if n > known.get((b, counts), n):
            continue
        for s in blocks[b].next:
            if s == header:
                closed.setdefault(counts, n)
            elif s in loop:
                instructions, more = cost[s]
                way = n + instructions, s, tuple(map(operator.add, counts, more))
                if max(way[2], default=0) <= most and way[0] < known.get(way[1:], math.inf):
                    known[way[1:]] = way[0]
                    heapq.heappush(heap, way)
    return closed


def step_ways(blocks, header, loop):
    """Those with the least of look-ups or ballots, whichever are more, and with one more: {(look-ups, ballots):
    instructions}."""
    counted = IS_LOOKUP, IS_BALLOT
    fewest = next(most for most in itertools.count() if ways(blocks, header, loop, counted, most))
    return ways(blocks, header, loop, counted, fewest + 1)


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
    best, hot = None, None
    for header, loop in loops.items():
        if not is_step_loop(blocks, header, loop):
            continue
        closed = step_ways(blocks, header, loop)
        lookups, ballots = min(closed)
        if ballots < lookups:  # it only looks for escapes
            continue
        n = closed[lookups, ballots]
        # The encoder looks the escape's entry up.
        second = closed.get((lookups + 1, ballots + 1), closed.get((lookups, ballots + 1), n)) - n
        found = {"main": n / lookups, "second": second, "steps_per_round": lookups,
                 "loop_instructions": sum(len(blocks[b].instructions) for b in loop)}
        if best is None or (-lookups, found["main"]) < (-best["steps_per_round"], best["main"]):
            best, hot = found, header
    around = [(len(loop), header) for header, loop in loops.items() if best and loop > loops[hot]]
    if around:
        header = min(around)[1]
        rows = ways(blocks, header, loops[header] - loops[hot] | {hot})
        best["row"] = min(rows.values(), default=None)
    return best
