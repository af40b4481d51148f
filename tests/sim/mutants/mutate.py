#!/usr/bin/env python3
"""Plants one fault in a copy of a source: mutate.py SOURCE OUT OLD NEW

OLD must occur in SOURCE exactly once; if the code has moved on, the mutant must be written anew, so this fails loudly. "\\n" in
OLD and NEW stands for a newline.
"""
import sys

source, out, old, new = sys.argv[1:]
old, new = old.replace("\\n", "\n"), new.replace("\\n", "\n")
with open(source, encoding="utf-8") as f:
    text = f.read()
if text.count(old) != 1:
    sys.exit("%s: the line to mutate occurs %d times, expected once: %s" % (source, text.count(old), old))
with open(out, "w", encoding="utf-8") as f:
    f.write(text.replace(old, new))
