#!/usr/bin/env python3
"""Checks that an object for one instruction set defines no function that others may share.

    check_symbols.py NM ISA OBJECT...

The linker keeps one copy of an inline function, whichever comes first. If that were the copy from an
AVX-512 object, an older machine would stop at its first call, far from here. So every function that
these objects define for others must name ISA: as its namespace, or as a template argument.
"""

import re
import subprocess
import sys


def main():
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    nm, isa, *objects = sys.argv[1:]
    listing = subprocess.run([nm, "--demangle", "--defined-only", *objects],
                             check=True, capture_output=True, text=True).stdout
    functions = re.findall(r"^[0-9a-f]+ [TW] (.*)$", listing, re.MULTILINE)
    shared = [f for f in functions if not re.search(rf"\b{isa}\b", f)]
    for function in shared:
        print(f"does not name {isa} (make it always inline, or static): {function}")
    sys.exit(1 if shared or not functions else 0)


if __name__ == "__main__":
    main()
