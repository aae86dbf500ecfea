"""How many threads of a kernel run at once on a multiprocessor, of those that it has room for.

Limits are those of NVIDIA's table "Technical Specifications per Compute Capability" (CUDA C++ Programming Guide 13).
1 KiB of shared memory of every block is the system's; the section of a kernel for sm_90 counts it. Registers are
given to warps by 256, and a warp's are those of one of the four parts that the register file has.
"""
import collections

Multiprocessor = collections.namedtuple("Multiprocessor", "warps blocks shared_bytes")
MULTIPROCESSORS = {
    80: Multiprocessor(64, 32, 164 << 10),
    86: Multiprocessor(48, 16, 100 << 10),
    89: Multiprocessor(48, 24, 100 << 10),
    90: Multiprocessor(64, 32, 228 << 10),
    100: Multiprocessor(64, 32, 228 << 10),
    120: Multiprocessor(48, 24, 100 << 10),
}
PARTS, PART_REGISTERS = 4, 16384
RESERVED_BYTES, SHARED_UNIT = 1024, 128


def round_up(n, to):
    return -(-n // to) * to


def occupancy(architecture, threads, registers, static_bytes, dynamic_bytes):
    """Resident threads to the most there may be, and what bounds them."""
    m = MULTIPROCESSORS[architecture]
    warps = threads // 32
    shared = round_up(max(static_bytes, RESERVED_BYTES) + dynamic_bytes, SHARED_UNIT)
    by_registers = PARTS * (PART_REGISTERS // round_up(registers * 32, 256)) // warps
    blocks = {"registers": by_registers, "warps": m.warps // warps, "blocks": m.blocks,
              "shared": m.shared_bytes // shared}
    bound = min(("warps", "registers", "shared", "blocks"), key=blocks.get)
    return blocks[bound] * warps / m.warps, bound
