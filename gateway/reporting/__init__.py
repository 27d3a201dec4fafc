"""What is said of the ledger: sums, as a table, CSV, JSON or a page with charts.

periods.py   from and to, as people write them
rows.py      one row of a report, and all of them with their sum; what is not known stays unknown
columns.py   the figures' names, and how each is written
gather.py    read from the store
render.py    CSV and JSON
table.py     for a terminal
page.py      one HTML file with charts; assets/ holds what goes into it
"""
