#!/usr/bin/env python3
"""Checks that a shared library shows the functions of a header, and nothing else.

    check_exports.py NM LIBRARY HEADER
"""

import pathlib
import re
import subprocess
import sys


def main():
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    nm, library, header = sys.argv[1:]
    listing = subprocess.run([nm, "--dynamic", "--defined-only", "--format=posix", library],
                             check=True, capture_output=True, text=True).stdout
    shown = {line.split()[0] for line in listing.splitlines()}
    declared = set(re.findall(r"^SKV_API [^;(]*?\b(skv_\w+)\(",
                              pathlib.Path(header).read_text(encoding="utf-8"), re.MULTILINE))
    for name in sorted(shown ^ declared):
        print(f"{name}: {'not declared' if name in shown else 'not shown'}")
    sys.exit(1 if shown != declared or not shown else 0)


if __name__ == "__main__":
    main()
