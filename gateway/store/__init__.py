"""Shared state: what is spent and set aside, teams and keys made at run time, the ledger.

contract.py    what both stores promise; entries.py: what the ledger holds
sqlite.py      embedded, for one machine and all its workers:
                   sqlite_schema.py: the file; sqlite_threads.py: who works on it, and when it is committed
                   sqlite_batch.py: what operations change; sqlite_ledger.py: entries read and summed
redis.py       Redis or Valkey, for any number of replicas; lua/ holds its scripts
"""
