"""Do SDKs get the same results through the gateway as from the upstream itself? `python -m tests.sdks` (`make sdks`).

catalogue.py       the SDKs, each with the API that it speaks
environments.py    each in an environment of its own, pinned by the files in locks/
scripts/           one program for each SDK: takes jobs as JSON lines, answers with what the SDK made of them
driver.py          such a program as a process
cases.py           what is asked, and what a right answer looks like
place.py           the upstream, and the gateway before it
comparing.py       each case directly and through the gateway: same, different, not supported
snippets.py        the programs that docs/sdks.md shows, run as they stand there
table.py           the table
"""
