"""What a request may spend, and what it has spent.

periods.py     hours, days, weeks and months in a time zone
worst_case.py  the most that a request can cost, before it is sent
limits.py      the counters on which a caller's request counts: budgets, rates, requests under way
admission.py   the stage before forwarding: all of them reserved at once, or refused
outcome.py     what a request turned out to use, and how well that is known
settling.py    the stage after the reply: charged and written to the ledger, off the client's path
standing.py    what was last heard of the counters: narrower windows, soft limits, figures for headers
outage.py      what a replica may spend while the store is away
correcting.py  an operator's word on what nobody settled
sweeping.py    reservations renewed while their requests live, charged when their process died
"""
