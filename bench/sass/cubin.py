"""What a cubin says of its kernels: their names, and what they take of a multiprocessor."""
import re
import struct

FORMATS = {"1": "bf16", "2": "fp16", "3": "e4m3", "4": "e5m2"}
HEADS = {"0": "one_row", "1": "one_group", "2": "apart"}
SOURCES = {"0": "none", "1": "previous_token", "2": "given"}
ATTRIBUTES = {0x11: "local_bytes", 0x2F: "registers"}  # EIATTR_FRAME_SIZE, EIATTR_REGCOUNT
ELF_MAGIC, FAT_MAGIC, CUBIN_KIND, EM_CUDA = b"\x7fELF", 0xBA55ED50, 2, 190


def short_name(mangled):
    """decode/bf16/given/bf16/one_row, linear/update/e4m3/bf16, move/store, or None for another kernel."""
    move = re.search(r"\d+(compact|store|load|drop|clear)_kernel", mangled)
    if move:
        return "move/" + move.group(1)
    linear = re.search(r"\d+(hide|predict|update|take)_kernel(?:I(.*))?", mangled)
    if linear:
        return "/".join(["linear", linear.group(1), *(
            FORMATS[f] for f in re.findall(r"(?:format_idE|LS\d_)(\d)E", linear.group(2) or ""))])
    m = re.search(r"\d+([a-z]+)_kernelI.*?format_idE(\d).*?mean_sourceE(\d)E(.*)", mangled)
    if not m:
        return None
    kind, target, source, rest = m.groups()
    mean = re.match(r".*?L\w*?(\d)ELj\d+ELj\d+E", rest)
    mean = FORMATS[mean.group(1)] if mean else "?"
    heads = re.search(r"head_layoutE(\d)E", rest)
    heads = HEADS[heads.group(1)] if heads else "?"
    return "/".join([kind, FORMATS[target], SOURCES[source], mean, heads])


def device_code(path, architecture):
    """The bytes of a cubin, or of the one for an architecture in each fat binary of an object that nvcc made; the layout
    of these is in tests/stand_in/fat_binary.hpp. A ValueError says what is wrong with the file."""
    data = path.read_bytes()
    if data[:4] != ELF_MAGIC:
        raise ValueError(f"{path} is neither a cubin nor an object")
    if data[0x12:0x14] == struct.pack("<H", EM_CUDA):
        return [data]
    found = []
    at = -1
    while (at := data.find(struct.pack("<I", FAT_MAGIC), at + 1)) >= 0:
        try:
            header_bytes, module_bytes = struct.unpack_from("<HQ", data, at + 6)
            module, end = at + header_bytes, at + header_bytes + module_bytes
            while module < end:
                kind, _, header_bytes, size, _, _, _, runs_on = struct.unpack_from("<HHIQI3I", data, module)
                if kind == CUBIN_KIND and runs_on == architecture:
                    found.append(data[module + header_bytes:module + header_bytes + size])
                module += header_bytes + size or len(data)
        except struct.error:
            raise ValueError(f"{path} ends within a fat binary") from None
    if not found:
        raise ValueError(f"{path} has no code for sm_{architecture}")
    if any(cubin[:4] != ELF_MAGIC for cubin in found):
        raise ValueError(f"the code in {path} is compressed")
    return found


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
