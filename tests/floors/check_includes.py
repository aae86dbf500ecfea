#!/usr/bin/env python3
"""Checks that every file includes only what lies on its own floor or below.

    check_includes.py SOURCE_DIR    one line per violation; exit status 1 if there is any
    check_includes.py --self-test   plants violations in a scratch tree and looks for them
"""

import pathlib
import re
import sys
import tempfile

# From the ground up. Floors of one row are neighbours: neither may include the other.
ROWS = [
    ["base"],
    ["lanes", "number"],
    ["predict", "scale", "entropy"],
    ["tile"],
    ["format"],
    ["profile"],
    ["io"],
    ["cpu", "cuda"],
    ["calibrate", "kernels"],
    ["skv.hpp"],
    ["c_api"],
    ["c_cuda"],
    ["program"],
]
HEIGHT = {floor: height for height, row in enumerate(ROWS) for floor in row}
TOP_HEADERS = {"skv.hpp": "skv.hpp", "skv.h": "c_api", "skv_cuda.h": "c_cuda"}  # include/skv/*

SUFFIXES = {".h", ".hpp", ".cuh", ".c", ".cpp", ".cu"}
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')


def floor_of_header(path):
    """Floor of `skv/...` as written in an include."""
    parts = path.split("/")[1:]
    return parts[0] if len(parts) > 1 else TOP_HEADERS.get(parts[0], parts[0])


def floor_of_file(path):
    """Floor of a file, by its path from the root."""
    parts = path.parts
    if parts[0] == "include":
        return floor_of_header("/".join(parts[1:]))
    if parts[0] == "kernels":
        return "kernels"
    return parts[1]  # src/<floor>/...


def floor_of_include(quote, path, own):
    """Floor that an include reaches, or None for one outside the project."""
    if path.startswith("skv/"):
        return floor_of_header(path)
    if quote == "<":
        return None
    return path.split("/")[0] if "/" in path else own  # "cpu/x.hpp" from src, or a file beside it


def complaint(own, quote, path):
    if own not in HEIGHT:
        return f"floor '{own}' is not in ROWS of check_includes.py"
    if ".." in path.split("/"):
        return f"includes {path}: write the path from include or src"
    target = floor_of_include(quote, path, own)
    if target is None or target == own:
        return None
    if target not in HEIGHT:
        return f"includes {path}: floor '{target}' is not in ROWS of check_includes.py"
    if HEIGHT[target] >= HEIGHT[own]:
        where = "above" if HEIGHT[target] > HEIGHT[own] else "beside"
        return f"includes {path}: floor '{target}' lies {where} '{own}'"
    return None


def check(root):
    violations = []
    files = [f for top in ("include", "src", "kernels") for f in sorted((root / top).rglob("*"))]
    for file in files:
        if file.suffix not in SUFFIXES:
            continue
        path = file.relative_to(root)
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
            match = INCLUDE.match(line)
            message = match and complaint(floor_of_file(path), *match.groups())
            if message:
                violations.append(f"{path}:{number}: {message}")
    return violations


def self_test():
    planted = {  # file: (its text, whether it is a violation)
        "include/skv/base/good.hpp": ("#include <vector>\n#include <skv/base/other.hpp>\n", False),
        "include/skv/tile/good.hpp": ("#include <skv/entropy/rans.hpp>\n", False),
        "include/skv/skv.hpp": ("#include <skv/profile/profile.hpp>\n", False),
        "include/skv/skv.h": ("#include <stdint.h>\n", False),
        "src/cpu/good.cpp": ('#include "cpu/a.hpp"\n#include "b.hpp"\n#include <skv/tile/t.hpp>\n', False),
        "src/program/good.cpp": ("#include <skv/skv.hpp>\n#include <CLI/CLI.hpp>\n", False),
        "kernels/good.cu": ('#include "tuning.hpp"\n#include <skv/tile/t.hpp>\n', False),
        "include/skv/base/up.hpp": ("#include <skv/tile/tile.hpp>\n", True),
        "include/skv/base/spaced.hpp": ("  #  include <skv/number/bf16.hpp>\n", True),
        "include/skv/base/quoted.hpp": ('#include "skv/format/layout.hpp"\n', True),
        "include/skv/predict/beside.hpp": ("#include <skv/scale/adaptive.hpp>\n", True),
        "include/skv/tile/umbrella.hpp": ("#include <skv/skv.hpp>\n", True),
        "include/skv/tile/dots.hpp": ('#include "../base/config.hpp"\n', True),
        "include/skv/attic/unknown.hpp": ("#include <skv/base/config.hpp>\n", True),
        "src/cpu/up.cpp": ('#include "program/main.hpp"\n', True),
        "kernels/up.cu": ("#include <skv/skv.h>\n", True),
    }
    with tempfile.TemporaryDirectory() as scratch:
        root = pathlib.Path(scratch)
        for name, (text, _) in planted.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text, encoding="utf-8")
        found = check(root)
    expected = {name for name, (_, bad) in planted.items() if bad}
    caught = {line.split(":")[0] for line in found}
    for name in sorted(expected ^ caught):
        print(f"{name}: {'not caught' if name in expected else 'wrongly caught'}")
    return expected == caught


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    if sys.argv[1] == "--self-test":
        sys.exit(0 if self_test() else 1)
    root = pathlib.Path(sys.argv[1])
    if not (root / "include" / "skv").is_dir():
        sys.exit(f"{root}: no include/skv")
    violations = check(root)
    for violation in violations:
        print(violation)
    sys.exit(1 if violations else 0)


if __name__ == "__main__":
    main()
