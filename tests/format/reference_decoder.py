#!/usr/bin/env python3
"""A decoder of .skv files written from docs/format.md alone: slow, plain, standard library only.

    reference_decoder.py tile PROFILE RECORD LAYER KIND HEADS HEAD_DIM FIRST_HEAD HEAD_COUNT TOKENS TILE MEANS OUT
    reference_decoder.py file SKV PROFILE MEANS OUT [EMBEDDING IDS DRAFT]

RECORD is the twelve bytes of a tile record in hexadecimal. TILE, MEANS and OUT are files; MEANS holds
the means of the tile, or of all tensor streams of the file, contiguous; an empty file if there are none.
EMBEDDING has the numbers of the table, IDS a u32 for every token, DRAFT the tensors that the profile names,
with all tokens, one after the other. The hashes of tiles are compared, xxHash checksums are not. No zstd: metadata and opaque chunks must be
stored as they are.
"""
import math
import struct
import sys

FORMATS = {1: (8, 7), 2: (5, 10), 3: (4, 3), 4: (5, 2), 0: (8, 23)}  # exponent bits, mantissa bits
MASK = 0xFFFFFFFF

class Corrupt(Exception):
    pass

def require(condition, what):
    if not condition:
        raise Corrupt(what)

def is_name(b):
    return len(b) > 0 and all(0x20 <= c <= 0x7E for c in b)

class Format:
    def __init__(self, wire_id):
        require(wire_id in FORMATS, 'number format')
        self.E, self.M = FORMATS[wire_id]
        self.bits = 1 + self.E + self.M
        self.bytes = self.bits // 8
        self.bias = (1 << self.E - 1) - 1
        self.max_exponent = (1 << self.E) - 1
        self.magnitude_mask = (1 << self.E + self.M) - 1

ESCAPE, RESIDUAL_CENTRE, EXPONENT_CENTRE = 29, 14, 25

class Profile:
    def __init__(self, b):
        (magic, version, self.target, self.source, self.mean, self.default_code, self.base, reserved, tensors,
         contexts, tokens, features, size) = struct.unpack_from('<4sHBBBBBBIHHIQ', b)
        require(magic == b'SKVP' and version == 1 and features <= 3 and reserved == 0, 'profile')
        attached, features = features >> 1, features & 1
        require(self.base == 0 or features == 1 and self.base == 2, 'source of bases')
        require(features == 0 or self.source == 2, 'linear propagation')
        require(size == len(b), 'profile size')
        require(self.source <= 2, 'predictor')
        self.T, self.R = Format(self.target), Format(self.mean)
        require(self.source == 2 or self.mean == self.target, 'mean format')
        finer = self.R.M - self.T.M
        require(self.mean == self.target or finer >= 3, 'mean format')
        expected = (4 if self.source == 0 else 48 if finer else 24, 30)
        require((contexts, tokens) == expected, 'table shape')
        at, shapes = 32, []
        for _ in range(tensors):
            shapes.append(struct.unpack_from('<IIII', b, at))
            at += 16
        require([s[:2] for s in shapes] == sorted({s[:2] for s in shapes}), 'order of tensors')
        self.codes = {}
        for layer, kind, heads, head_dim in shapes:
            self.codes[layer, kind] = heads, head_dim, b[at:at + heads * head_dim]
            at += heads * head_dim
        self.rows = []
        for _ in range(contexts):
            f = struct.unpack_from('<%dH' % tokens, b, at)
            at += 2 * tokens
            require(sum(f) == 512 and 0 < f[-1] < 512, 'frequencies')
            self.rows.append([(t, f[t], i) for t in range(tokens) for i in range(f[t])])
        self.linear = None
        if features == 1:
            self.linear = Linear(self, [(s[2], s[3]) for s in shapes])
            at = self.linear.read(b, at)
            self.numbers = {shape[:2]: i for i, shape in enumerate(shapes)}
        if attached:
            at = self.skip_attachments(b, at)
        require(at + 8 == len(b), 'profile size')

    def skip_attachments(self, b, at):
        count, names = struct.unpack_from('<I', b, at)[0], []
        require(count > 0, 'attachments')
        at += 4
        for _ in range(count):
            name, size = b[at + 1:at + 1 + b[at]], struct.unpack_from('<Q', b, at + 1 + b[at])[0]
            names.append(name)
            at += 1 + len(name) + 8 + size
        require(names == sorted(set(names)) and all(map(is_name, names)), 'names of attachments')
        return at

    def row_codes(self, layer, kind, heads, head_dim, first_head, head_count):
        if not self.codes:
            return bytes([self.default_code]) * (head_count * head_dim)
        h, d, codes = self.codes[layer, kind]
        require((h, d) == (heads, head_dim), 'another geometry')
        return codes[first_head * d:(first_head + head_count) * d]

def floor_log2(v):
    return v.bit_length() - 1

def steps_of(f, u, floor):
    """q(u), section "Step-floored integers"."""
    e = max(u >> f.M, 1)
    if e >= floor:
        return u - (floor - 1 << f.M)
    return u - (e - 1 << f.M) >> min(floor - e, f.M + 1)

def clamp(low, v, high):
    return max(low, min(v, high))

def rounded(a, n):
    size = abs(a) + (1 << n >> 1) >> n
    return -size if a < 0 else size

def clip(a, m):
    return clamp(-m, a, m)

def fixed(f, pattern, unit):
    """In units; None for what has no value."""
    u = pattern & f.magnitude_mask
    if u == 0x7F if f.E == 4 else u >> f.M == f.max_exponent:
        return None
    e = max(u >> f.M, 1)
    sig, s = u - (e - 1 << f.M), e + unit - 128 - f.bias - f.M
    size = rounded(sig, -s) if s < 0 else sig << s if s <= 28 - f.M else (1 << 29) * (sig > 0)
    return -size if pattern >> f.bits - 1 else size

def from_fixed(f, v, unit):
    if v == 0:
        return 0
    octave = max(floor_log2(abs(v)) + 127 + f.bias - unit, 0)
    d = octave + unit - 127 - f.bias - f.M
    q = rounded(abs(v), d) if d >= 0 else abs(v) << -d
    largest = f.magnitude_mask - 1 if f.E == 4 else (f.max_exponent << f.M) - 1
    return (v < 0) << f.bits - 1 | min(q + (octave << f.M), largest)

SINES = [round(32768 * math.sin(2 * math.pi * k / 1024)) for k in range(1024)]

def sine(phase):
    k, r = phase >> 22 & 1023, phase >> 6 & 0xFFFF
    return SINES[k] + ((SINES[(k + 1) % 1024] - SINES[k]) * r + (1 << 15) >> 16)

class Product:
    def __init__(self, inputs, outputs, shards):
        self.inputs, self.outputs, self.shards = inputs, outputs, shards

    def read(self, b, at):
        rows, groups = self.outputs * self.shards, (self.inputs + 3) // 4
        self.multipliers = struct.unpack_from('<%dH' % rows, b, at)
        require(all(m < 1 << 15 for m in self.multipliers), 'multiplier')
        self.shifts = b[at + 2 * rows:at + 3 * rows]
        self.weights = struct.unpack_from('<%db' % (4 * rows * groups), b, at + 3 * rows)
        self.shard_weights = 4 * self.outputs * groups
        return at + 3 * rows + 4 * rows * groups

    def values(self, shard, inputs):
        result = []
        for o in range(self.outputs):
            row, at = shard * self.outputs + o, shard * self.shard_weights
            total = sum(x * self.weights[at + 4 * (i // 4 * self.outputs + o) + i % 4]
                        for i, x in enumerate(inputs))
            result.append(rounded(clip(rounded(total, self.shifts[row]), 32767) * self.multipliers[row], 12))
        return result

class Linear:
    """Section "Linear propagation"."""

    def __init__(self, profile, shapes):
        self.p, self.shapes, self.tensors = profile, shapes, []

    def read(self, b, at):
        self.shards, rotaries, outside = struct.unpack_from('<III', b, at)
        at, self.rotaries, self.outside = at + 12, [], []
        for _ in range(rotaries):
            interleaved, first, pairs = struct.unpack_from('<III', b, at)
            frequencies = struct.unpack_from('<%dQ' % pairs, b, at + 12)
            at += 12 + 8 * pairs
            self.rotaries.append((interleaved, first, frequencies))
        for _ in range(outside):
            draft, kind, form, rotary, layer, heads, head_dim, rows, _ = struct.unpack_from('<BBBBIIIIQ', b, at)
            at, C = at + 28, heads * head_dim
            units, at = b[at:at + C * draft], at + C * draft
            shifts, centres = b[at:at + C], struct.unpack_from('<%dh' % C, b, at + C)
            at += 3 * C
            form = Format(form)
            self.outside.append((draft, form, C, rows, units, shifts, centres,
                                 self.turns(rotary, heads, head_dim)))
        widths = [h * d // self.shards for h, d in self.shapes] + [o[2] for o in self.outside]
        N = len(self.shapes)
        for heads, head_dim in self.shapes:
            predicted, rotary, sources, rank = struct.unpack_from('<BBHI', b, at)
            sources, at = struct.unpack_from('<%dI' % sources, b, at + 8), at + 8 + 4 * sources
            require(all(s < len(self.tensors) or N <= s < N + outside for s in sources), 'sources')
            C = heads * head_dim
            units, shifts = b[at:at + C], b[at + C:at + 2 * C]
            centres = struct.unpack_from('<%dh' % C, b, at + 2 * C)
            at += 4 * C
            inputs = sum(widths[s] for s in sources)
            products = []
            if rank:
                products.append(Product(inputs, rank, self.shards))
            if sources:
                products.append(Product(rank or inputs, C // self.shards, self.shards))
            for product in products:
                at = product.read(b, at)
            self.tensors.append((predicted, sources, units, shifts, centres, products,
                                 self.turns(rotary, heads, head_dim)))
        return at

    def turns(self, rotary, heads, head_dim):
        """The partner and the frequency of every channel."""
        partner, frequency = list(range(heads * head_dim)), [0] * (heads * head_dim)
        if rotary:
            interleaved, first, frequencies = self.rotaries[rotary - 1]
            for h in range(0, heads * head_dim, head_dim):
                for i, f in enumerate(frequencies):
                    a = h + first + (2 * i if interleaved else i)
                    c = a + (1 if interleaved else len(frequencies))
                    partner[a], partner[c], frequency[a], frequency[c] = c, a, f, -f
        return partner, frequency

    def turned(self, row, turns, position, direction):
        partner, frequency = turns
        result = []
        for c, x in enumerate(row):
            phase = (position * frequency[c] & (1 << 64) - 1) >> 32
            cosine = sine(phase + (1 << 30) & MASK)
            result.append(x * cosine + direction * row[partner[c]] * sine(phase) + (1 << 14) >> 15)
        return result

    def innovations(self, index, position, numbers, bases):
        _, _, units, shifts, centres, _, turns = self.tensors[index]
        row = []
        for x, base, unit in zip(numbers, bases, units):
            a, b = fixed(self.p.T, x, unit), fixed(self.p.R, base, unit)
            row.append(0 if a is None or b is None else clip(a - b, 32767))
        row = self.turned(row, turns, position, 1)
        return [clip(rounded(d - c, s), 127) for d, c, s in zip(row, centres, shifts)]

    def draft_row(self, outside, position, numbers):
        _, f, _, _, units, shifts, centres, turns = self.outside[outside]
        row = [clip(fixed(f, x, unit) or 0, 32767) for x, unit in zip(numbers, units)]
        row = self.turned(row, turns, position, 1)
        return [clip(rounded(d - c, s), 127) for d, c, s in zip(row, centres, shifts)]

    def embedding_row(self, outside, numbers):
        _, f, C, _, _, shifts, centres, _ = self.outside[outside]
        sized = []
        for x in numbers:
            u = x & f.magnitude_mask
            e = max(u >> f.M, 1)
            has_value = u != 0x7F if f.E == 4 else u >> f.M != f.max_exponent
            sized.append((e, (u - (e - 1 << f.M)) * has_value))
        top = max([e + floor_log2(sig) for e, sig in sized if sig], default=None)
        if top is None:
            row = [0] * C
        else:
            m = [sig << e - top + 14 if e - top + 14 >= 0 else rounded(sig, top - 14 - e) for e, sig in sized]
            norm = math.isqrt((sum(x * x for x in m) << 16) // C)
            row = [min(((x << 18) + norm // 2) // norm, 32767) for x in m]
            row = [-v if x >> f.bits - 1 else v for x, v in zip(numbers, row)]
        return [clip(rounded(d - c, s), 127) for d, c, s in zip(row, centres, shifts)]

    def means(self, index, position, told, bases):
        """`told` are the innovations of each tensor at this position, or None, and of all outside rows."""
        predicted, sources, units, _, centres, products, turns = self.tensors[index]
        if not predicted:
            return list(bases)
        values = [0] * len(bases)
        if sources:
            values = []
            for shard in range(self.shards):
                inputs = []
                for s in sources:
                    if s >= len(self.shapes):
                        inputs += told[s]
                        continue
                    heads, head_dim = self.shapes[s]
                    part = heads * head_dim // self.shards
                    inputs += (told[s] or [0] * (heads * head_dim))[shard * part:(shard + 1) * part]
                for product in products[:-1]:
                    inputs = [clip(v, 127) for v in product.values(shard, inputs)]
                values += products[-1].values(shard, inputs)
        row = self.turned([clip(c + v, 32767) for c, v in zip(centres, values)], turns, position, -1)
        result = []
        for base, correction, unit in zip(bases, row, units):
            b = fixed(self.p.R, base, unit)
            keeps = b is None or abs(b) == 1 << 29
            result.append(base if keeps else from_fixed(self.p.R, b + correction, unit))
        return result

class Lanes:
    """The states of a block image and the words that they share."""

    def __init__(self, image, words_at, tail_steps, steps):
        require(len(image) >= words_at and (len(image) - words_at) % 2 == 0, 'image size')
        require(tail_steps <= steps, 'tail')
        self.state = list(struct.unpack_from('<32I', image))
        require(all(s >= 1 << 16 for s in self.state), 'states')
        self.words = struct.unpack('<%dH' % ((len(image) - words_at) // 2), image[words_at:])
        self.next, self.until_tail, self.tail_steps = 0, steps - tail_steps, tail_steps

    def begin_step(self):
        if self.until_tail == 0:
            self.state = [s - (1 << 16) for s in self.state]
        self.until_tail -= 1

    def token(self, lane, row):
        token, frequency, offset = row[self.state[lane] & 511]
        self.state[lane] = frequency * (self.state[lane] >> 9) + offset
        return token

    def bits(self, lane, width):
        value = self.state[lane] & (1 << width) - 1
        self.state[lane] >>= width
        return value

    def refill(self, lane):
        if self.until_tail >= 0 and self.state[lane] < 1 << 16:
            self.state[lane] = self.state[lane] << 16 | self.word()

    def word(self):
        require(self.next < len(self.words), 'words')
        self.next += 1
        return self.words[self.next - 1]

    def finish(self):
        last = 1 if self.tail_steps else (1 << 16) + 1
        require(self.next == len(self.words) and self.state == [last] * 32, 'end of the tile')

class Exponents:
    """Section "Exponents"."""

    def __init__(self, p):
        self.rows, self.T = p.rows, p.T
        self.extra = p.T.M + 1 - 8 if p.T.M + 1 >= 8 else p.T.M + 1
        self.plane = p.T.M + 1 >= 8

    def pop(self, lanes, lane, code, mean, plane_byte):
        """A number, or None for an escape."""
        token = lanes.token(lane, self.rows[code & 3])
        raw = lanes.bits(lane, self.extra)
        if token == ESCAPE:
            return None
        return self.number(token - EXPONENT_CENTRE + (code >> 2) - 40 + self.T.bias, raw, plane_byte)

    def number(self, field, raw, plane_byte):
        T = self.T
        require(0 <= field <= T.max_exponent, 'exponent')
        raw = raw << 8 | plane_byte if self.plane else raw
        return raw >> T.M << T.E + T.M | field << T.M | raw & (1 << T.M) - 1

class Residuals:
    """Section "Residuals"."""
    plane = False

    def __init__(self, p):
        self.rows, self.T, self.R = p.rows, p.T, p.R
        self.finer = p.R.M - p.T.M

    def grid(self, code, mean):
        T, R = self.T, self.R
        floor = clamp(1, (code >> 2) + T.bias + T.M - 41, T.max_exponent)
        u = mean & R.magnitude_mask
        if not self.finer:
            exponent, m, flip = max(floor, u >> T.M, 1), steps_of(T, u, floor), False
        else:
            half = 1 << self.finer - 1
            p = steps_of(R, u, floor + R.bias - T.bias)
            if p < 1 << R.M and floor > 1:
                p = max(p - half, 0)
            m = min(p + half >> self.finer, T.magnitude_mask - (floor - 1 << T.M))
            rest = p - (m << self.finer)
            flip = rest < 0
            exponent = floor + max(m >> T.M, 1) - 1
        context = clamp(0, code - 4 * (exponent + 40 - T.bias - T.M) + 16, 23)
        if self.finer:
            context = context // 2 * 4 + min(abs(rest) >> self.finer - 3, 3)
        return floor, m, flip, context

    def pop(self, lanes, lane, code, mean, plane_byte):
        """A number, or None for an escape."""
        T = self.T
        floor, m, flip, context = self.grid(code, mean)
        token = lanes.token(lane, self.rows[context])
        if token == ESCAPE:
            return None
        d = token - RESIDUAL_CENTRE
        Q = (-d if flip else d) + m
        sign = (mean >> self.R.bits - 1) ^ (Q < 0)
        v, n = -1 - Q if Q < 0 else Q, 0
        while v < 1 << T.M and n < floor - 1:
            v, n = v << 1 | lanes.bits(lane, 1), n + 1
        u = v + (floor - n - 1 << T.M)
        require(n < 16 and u <= T.magnitude_mask, 'magnitude')
        return sign << T.bits - 1 | u

def avalanche(h):
    h = (h ^ h >> 16) * 0x85EBCA6B & MASK
    h = (h ^ h >> 13) * 0xC2B2AE35 & MASK
    return h ^ h >> 16

def tile_hash(tokens, width, patterns):
    total = 0
    for lane in range(32):
        h = 0
        for t in range(tokens):
            for first in range(0, width, 32):
                x = patterns[t * width + first + lane] if first + lane < width else 0
                h = (h * 0x9E3779B5 + x) & MASK
        total += avalanche(h ^ (lane + 1) * 0x9E3779B9 & MASK)
    return avalanche(total + tokens * 0x27D4EB2F + width * 0x165667B1 & MASK)

def unpack(f, b):
    return list(struct.unpack('<%d%s' % (len(b) // f.bytes, '.BH.I'[f.bytes]), b))

def decode_tile(p, record, codes, tokens, width, image, means):
    """The patterns of a tile; `means` are patterns too, or empty."""
    packed, data_hash, prediction_hash = struct.unpack('<III', record)
    size, tail_steps, mode = packed & 0xFFFFFF, packed >> 24 & 63, packed >> 30
    require(size == len(image), 'tile size')
    T, count = p.T, tokens * width
    if mode == 0:
        numbers = unpack(T, image)
    elif mode == 3:
        numbers = unpack(T, image) * count
        require(size == T.bytes, 'constant tile')
    elif mode == 2:
        numbers = list(means)
        require(size == 0 and p.source == 2 and p.mean == p.target, 'predicted tile')
    else:
        coding = Exponents(p) if p.source == 0 else Residuals(p)
        words_at = 128 + ((count + 3) // 4 * 4 if coding.plane else 0)
        lanes = Lanes(image, words_at, tail_steps, tokens * ((width + 31) // 32))
        numbers = [0] * count
        for t in range(tokens):
            for group in range(0, width, 4 * 32):
                escapes = []
                for first in range(group, min(group + 4 * 32, width), 32):
                    lanes.begin_step()
                    for lane in range(min(32, width - first)):
                        i = t * width + first + lane
                        mean = (means[i] if p.source == 2 else
                                numbers[i - width] if p.source == 1 and t > 0 else 0)
                        plane_byte = image[128 + i] if coding.plane else 0
                        numbers[i] = coding.pop(lanes, lane, codes[first + lane], mean, plane_byte)
                        lanes.refill(lane)
                        if numbers[i] is None:
                            escapes.append(i)
                for i in escapes:
                    numbers[i] = lanes.word()
                    require(numbers[i] >> T.bits == 0, 'escape')
        lanes.finish()
    if mode == 1 or mode == 2:
        expected = tile_hash(tokens, width, means) if p.source == 2 else 0
        require(prediction_hash == expected, 'another prediction')
    require(len(numbers) == count and tile_hash(tokens, width, numbers) == data_hash, 'data hash')
    return numbers

def pack(f, numbers):
    return struct.pack('<%d%s' % (len(numbers), 'BH'[f.bytes - 1]), *numbers)

def decode_file(skv, p, means_bytes, embedding=b'', ids=b'', draft=b''):
    (magic, version, features, size, _, stored, metadata, tiles, target, source, mean, base,
     _) = struct.unpack_from('<4sHHQ16sIIIBBBBQ', skv)
    require(magic == b'SKVC' and version == 1 and features <= 3, 'header')
    named, features = features >> 1, features & 1
    require((features == 1) == (p.linear is not None) and base == p.base, 'linear propagation')
    require(size == len(skv), 'file size')
    require((target, source, mean) == (p.target, p.source, p.mean), 'profile')
    require(stored == metadata, 'compressed metadata: not here')
    streams, preamble, embedded = struct.unpack_from('<III', skv, 56)
    text = 68 + 32 * streams + 12 * features
    first_position = struct.unpack_from('<I', skv, text - 12)[0] if features else 0
    if named:
        require((base if features else source) == 2 and is_name(skv[text + 1:text + 1 + skv[text]]), 'predictor')
        text += 1 + skv[text] + 16
    require(text - 56 + preamble + embedded == metadata, 'metadata')
    out = bytearray(skv[text:text + preamble])
    index, at, mean_at = 56 + stored, 56 + stored + 12 * tiles, 0

    def next_tile():
        nonlocal index, at
        record = skv[index:index + 12]
        begin, at = at, at + (struct.unpack_from('<I', record)[0] & 0xFFFFFF)
        index += 12
        return record, skv[begin:at]

    # Where everything is; tensors are decoded afterwards, in the order of layers.
    parts, tensors, longest = [], [], 0
    for s in range(streams):
        (is_tensor, kind, form, _, layer, count, heads, head_dim, tile_tokens,
         tile_heads) = struct.unpack_from('<BBBBIQIIII', skv, 68 + 32 * s)
        longest = max(longest, count * is_tensor)
    for s in range(streams):
        (is_tensor, kind, form, _, layer, count, heads, head_dim, tile_tokens,
         tile_heads) = struct.unpack_from('<BBBBIQIIII', skv, 68 + 32 * s)
        if not is_tensor:
            chunk = b''
            for first in range(0, count, 1 << 20):
                record, image = next_tile()
                packed, _, zero = struct.unpack('<III', record)
                require(packed == min(1 << 20, count - first) and zero == 0, 'opaque chunk')
                chunk += image
            parts.append(chunk)
            continue
        require(form == p.target, 'stream')
        width = heads * head_dim
        bases = [0] * (count * width)
        if (p.base if features else p.source) == 2:
            n = len(bases) * p.R.bytes
            bases, mean_at = unpack(p.R, means_bytes[mean_at:mean_at + n]), mean_at + n
        begin = first_position + longest - count if features else 0
        cuts = sorted({0, count, *range(tile_tokens - begin % tile_tokens, count, tile_tokens)})
        tiles_of = []
        for t, end in zip(cuts, cuts[1:]):
            for h in range(0, heads, tile_heads):
                tiles_of.append((t, end - t, h, min(tile_heads, heads - h), next_tile()))
        tensors.append(((layer, kind), len(parts), begin, heads, head_dim, bases, tiles_of))
        parts.append([0] * (count * width))

    told, at_draft = {}, 0
    for i, (is_draft, f, C, rows, *_) in enumerate(p.linear.outside if features else []):
        ids_of = struct.unpack('<%dI' % (len(ids) // 4), ids)
        for token in range(longest):
            place, row = (len(p.numbers) + i, first_position + token), C * f.bytes
            if is_draft:
                numbers = unpack(f, draft[at_draft:at_draft + row])
                at_draft += row
                told[place] = p.linear.draft_row(i, first_position + token, numbers)
            elif ids_of[token] < rows:
                at_row = ids_of[token] * row
                told[place] = p.linear.embedding_row(i, unpack(f, embedding[at_row:at_row + row]))
            else:
                told[place] = [0] * C
    for (layer, kind), part, begin, heads, head_dim, bases, tiles_of in sorted(tensors, key=lambda t: t[0]):
        width, stream = heads * head_dim, parts[part]
        number = p.numbers[layer, kind] if features else None
        for t, tokens, h, head_count, (record, image) in tiles_of:
            cols = range(h * head_dim, (h + head_count) * head_dim)
            places = [row * width + c for row in range(t, t + tokens) for c in cols]
            codes = p.row_codes(layer, kind, heads, head_dim, h, head_count)
            means = [bases[i] for i in places] if p.source == 2 else []
            if features:
                means = []
                for row in range(t, t + tokens):
                    at_position = [told.get((i, begin + row))
                                   for i in range(len(p.numbers) + len(p.linear.outside))]
                    means += p.linear.means(number, begin + row, at_position,
                                            bases[row * width:(row + 1) * width])
            numbers = decode_tile(p, record, codes, tokens, len(cols), image, means)
            for i, x in zip(places, numbers):
                stream[i] = x
            if features:
                for row in range(t, t + tokens):
                    rows = slice(row * width, (row + 1) * width)
                    told[number, begin + row] = p.linear.innovations(number, begin + row, stream[rows],
                                                                     bases[rows])
        parts[part] = pack(p.T, stream)
    for part in parts:
        out += part
    require(at == len(skv) and index == 56 + stored + 12 * tiles, 'tiles')
    return bytes(out)

def main(arguments):
    read = lambda path: open(path, 'rb').read()
    if arguments[0] == 'file':
        _, skv, profile, means, out, *outside = arguments
        restored = decode_file(read(skv), Profile(read(profile)), read(means), *map(read, outside))
    else:
        _, profile, record, layer, kind, heads, head_dim, first, count, tokens, tile, means, out = arguments
        p = Profile(read(profile))
        codes = p.row_codes(int(layer), int(kind), int(heads), int(head_dim), int(first), int(count))
        restored = pack(p.T, decode_tile(p, bytes.fromhex(record), codes, int(tokens), len(codes),
                                         read(tile), unpack(p.R, read(means))))
    with open(out, 'wb') as f:
        f.write(restored)

if __name__ == '__main__':
    try:
        main(sys.argv[1:])
    except (Corrupt, struct.error, KeyError, IndexError) as e:
        sys.exit('corrupt: %s' % e)
