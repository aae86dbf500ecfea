"""Code that a document quotes must stand in one of the files, line for line: quotes.py DOCUMENT FILE..."""
import re
import sys

document, *files = sys.argv[1:]
texts = [open(file).read() for file in files]
quotes = re.findall(r"^```c(?:pp)?\n(.*?)^```$", open(document).read(), re.M | re.S)
missing = [q for q in quotes if not any(q in text for text in texts)]
for quote in missing:
    print(f"{document} quotes what is in none of {', '.join(files)}:\n{quote}")
sys.exit(bool(missing) or not quotes)
