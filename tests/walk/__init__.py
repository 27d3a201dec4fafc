"""A newcomer's walk: what README.md and docs/teams.md tell a reader to type, typed as it stands, and timed.

documents.py   the commands and programs of a document, in their order
terminal.py    a terminal: one shell, in which commands run one after the other
places.py      where it is walked: beside the environment that is here, or in a clean copy of the sources with nothing
walk.py        the walk itself, step by step
looking.py     the console, opened as a reader opens it
table.py       how long each step took

`make walk` walks and prints the table; `make walk ARGS=--from-nothing` begins with a copy of the sources and
`make install`.
"""
