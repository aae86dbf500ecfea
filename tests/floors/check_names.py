#!/usr/bin/env python3
"""Checks that what a file has for itself stays so where several files are compiled as one (SKV_UNITY).

A name in an anonymous namespace could then hide one that a header gives to the files behind it, and their calls
would mean another function without a warning. So no source file of a program or test defines there what a
header, or another file of its folder, defines in the same namespace.

    check_names.py SOURCE_DIR    one line per violation; exit status 1 if there is any
    check_names.py --self-test   plants violations in a scratch tree and looks for them

It reads what clang-format has formatted: definitions begin in the first column, namespaces end with their names.
"""

import pathlib
import re
import sys
import tempfile

HEADERS = ["include/skv", "src", "kernels", "tests", "bench", "examples"]
# Files named so are programs of their own, compiled with the others of their folder.
PROGRAMS = ("_bench", "_fuzz")
# Files named so are compiled alone, with flags of their own.
ALONE = ("_isa", "_lanes")
NO_DEFINITION = re.compile(r"[#}/)\s]|(?:namespace|extern|static_assert|using namespace)\b|[A-Z][A-Z_]+\(")


def depths(text):
    """(character, how many brackets it is in) for every character of text."""
    depth = 0
    for c in text:
        depth -= c in ")]}>"
        yield c, depth
        depth += c in "([{<"


def names_on(line):
    """What a line that begins in the first column defines."""
    line = re.sub(r"->|\[\[.*?\]\]|//.*|operator\S+", "", line)
    if match := re.match(r"using (\w+) =", line):
        return [match[1]]
    if line.startswith("using"):
        return []
    plain = "".join(c if depth == 0 else " " for c, depth in depths(line))  # what is in no brackets
    plain = re.sub(r"^\s*template <\s*>?", "", plain)
    if match := re.match(r"(?:enum class|enum|struct|class|union) (\w+)\s*(.?)", plain):
        return [] if match[2] == ";" else [match[1]]
    function = re.match(r"([^=]*?)\(", plain)
    parts = [function[1]] if function else plain.split(",")
    if len(parts[0].split()) < 2:  # a type and a name
        return []
    found = (re.search(r"(\w+)\s*$", re.split(r"[\[={;]", part)[0].rstrip()) for part in parts)
    return [match[1] for match in found if match]


def names_in(path, anonymous):
    """What a file defines outside of classes; `anonymous`: of that, what is in its anonymous namespaces. With
    what makes it its own: its path, or, for an alias, what it stands for."""
    names, spaces = {}, []
    # Namespaces of one line end without a name.
    text = re.sub(r"^namespace \w+ \{\n.*;\n\}\n", "", path.read_text(), flags=re.M)
    for line in text.splitlines():
        if match := re.match(r"(?:inline )?namespace (?:([\w:]+) )?\{$", line):
            spaces.append(match[1])
        elif line.startswith("}  // namespace"):
            spaces.pop()
        elif line and (None in spaces or not anonymous) and not NO_DEFINITION.match(line):
            for name in names_on(line):
                full = "::".join([space for space in spaces if space] + [name])
                names[full] = line if line.startswith("using") else path
    if spaces:
        sys.exit(f"{path}: the end of namespace {spaces[-1] or ''} does not say so")
    return names


def violations(root):
    given = {}
    for folder in HEADERS:
        for path in sorted([*(root / folder).rglob("*.hpp"), *(root / folder).rglob("*.cuh")]):
            for name, owner in names_in(path, anonymous=False).items():
                given.setdefault(name, (path, owner))
    folders = [root / "src/program", root / "examples/engine", root / "bench"]
    folders += (f for f in sorted((root / "tests").iterdir()) if list(f.glob("*.cpp")))
    for folder in folders:
        shared = {}
        sources = (p for p in folder.rglob("*.cpp") if not p.stem.endswith(ALONE))
        for path in sorted(sources, key=lambda p: (p.stem.endswith(PROGRAMS), p)):
            for name, owner in names_in(path, anonymous=True).items():
                first, its_owner = given.get(name) or shared.get(name, (path, owner))
                if owner != its_owner:
                    yield f"{path.relative_to(root)}: {name} is in {first.relative_to(root)}, too"
                if not path.stem.endswith(PROGRAMS):
                    shared.setdefault(name, (path, owner))


def self_test():
    def wrapped(text):
        return f"namespace skv::test {{\nnamespace {{\n{text}\n}}  // namespace\n}}  // namespace skv::test\n"

    one = wrapped("int own(int a) {\n  int scene_of = a;\n}\nusing word = int;\n")
    cases = {
        "constexpr int kOther = 3;": 0,
        "int scene_of(bool b) {": 1,
        "[[nodiscard]] std::map<int, std::vector<int>> scene_of(bool b);": 1,
        "template <class T, class U = int>\nT* scene_of(bool b) {": 1,
        "template <class T> const std::array<T, 3>& scene_of(": 1,
        "const int scene_of[] = {1};": 1,
        "constexpr std::uint32_t kOther = f(1, 2), scene_of = 3;": 1,
        "const char* const scene_of = \"\";": 1,
        "std::string scene_of;": 1,
        "struct scene_of {": 1,
        "enum class scene_of { one, two };": 1,
        "class scene_of;": 0,
        "using scene_of = int;": 1,
        "unsigned long own() {": 1,
        "using word = int;": 0,
        "using word = long;": 1,
        "TEST(scene_of, own) {": 0,
        "scene_of(1);": 0,
        "int other(scene_of own) {": 0,
        "}  // namespace\n}  // namespace skv::test\nnamespace skv {\nnamespace {\nint scene_of() {}": 0,
    }
    for text, count in cases.items():
        with tempfile.TemporaryDirectory() as scratch:
            root = pathlib.Path(scratch)
            for folder in ("src/program", "examples/engine", "bench", "tests/cpu", "tests/support"):
                (root / folder).mkdir(parents=True)
            header = "namespace skv::test {\ninline int scene_of(int items) {\n}\n}  // namespace skv::test\n"
            (root / "tests/support/scene.hpp").write_text(header)
            (root / "tests/cpu/a_test.cpp").write_text(one)
            (root / "tests/cpu/b_test.cpp").write_text(wrapped(text))
            found = list(violations(root))
            if len(found) != count:
                sys.exit(f"{len(found)} violations, not {count}, in:\n{text}")


if sys.argv[1] == "--self-test":
    self_test()
else:
    found = list(violations(pathlib.Path(sys.argv[1])))
    print("\n".join(found))
    sys.exit(1 if found else 0)
