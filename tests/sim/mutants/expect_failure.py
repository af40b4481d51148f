#!/usr/bin/env python3
"""A mutant must be caught: expect_failure.py PROGRAM [ARGUMENT…] runs it and succeeds only if it finds a broken promise."""
import subprocess
import sys

done = subprocess.run(sys.argv[1:], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
if done.returncode != 0 and ("replay: " in done.stderr or "CHECK" in done.stderr):
    print("caught: " + done.stderr.strip().splitlines()[0])
    sys.exit(0)
print("the planted fault was not caught (status %d):\n%s%s" % (done.returncode, done.stdout, done.stderr))
sys.exit(1)
