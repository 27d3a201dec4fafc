"""Shared state: what is spent and set aside, teams and keys made at run time, the ledger.

contract.py    what both stores promise; entries.py: what the ledger holds; queries.py: its latest entries asked for;
               receipts.py: more of the latest requests
sqlite.py      embedded, for one machine and all its workers:
                   sqlite_schema.py: the file; sqlite_threads.py: who works on it, and when it is committed
                   sqlite_batch.py: what operations change; sqlite_ledger.py: entries read and summed
                   sqlite_counters.py: counters within a transaction
                   sqlite_allowance.py: what a worker sets aside by itself; sqlite_holder.py: what it has of that
                   sqlite_leases.py: its leases in the file; sqlite_sums.py: what settlements come to for them
                   sqlite_journal.py: what of it outlives the worker; sqlite_expired.py: what expires
                   sqlite_rows.py: many rows in one step; sqlite_memory.py: what need not be read again
                   sqlite_documents.py: teams and keys; sqlite_receipts.py: receipts
redis.py       Redis or Valkey, for any number of replicas:
                   redis_line.py: a connection that callers share; redis_batch.py: what goes out together
                   redis_scripts.py: calls of the scripts in lua/; redis_records.py: what they are told, and answer
                   redis_keys.py: the names of keys; redis_ledger.py: entries read a page at a time
                   sums.py: sums over them; breaker.py: who does not answer is not asked for a while
                   redis_receipts.py: receipts
"""
