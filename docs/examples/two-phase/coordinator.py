"""Moves money between two banks, each with a database of its own: in both, or in neither.

Each bank prepares its half, with the event that tells of it. Then the decision is written down, and
only then is anything committed. Who starts after a crash ends what was left prepared: what is decided
is committed, all else is rolled back ("presumed abort").
"""

import argparse
import json
import os
import random
import signal
import time
import uuid

import psycopg

BANKS = ("a", "b")


class Sessions:
    """One session with each database, and nobody else's."""

    def __init__(self):
        self.decisions = connect(os.environ["COORDINATOR"])
        self.decisions.autocommit = True  # what is decided is on disk before anything is committed
        self.banks = {bank: connect(os.environ["BANK_" + bank.upper()]) for bank in BANKS}
        self.recover()

    def recover(self):
        """Ends what the coordinator before us has left prepared."""
        for bank, db in self.banks.items():
            for xid in db.tpc_recover():
                if xid.database == db.info.dbname and xid.gtrid.startswith("transfer "):
                    _, transfer, _ = xid.gtrid.split()
                    decided = "SELECT 1 FROM decision WHERE transfer = %s"
                    if self.decisions.execute(decided, (transfer,)).fetchone():
                        db.tpc_commit(xid)
                    else:
                        db.tpc_rollback(xid)
                    print("bank", bank, "had", transfer, "prepared", flush=True)

    def close(self):
        for db in (self.decisions, *self.banks.values()):
            db.close()


def connect(url):
    db = psycopg.connect(url)
    # A coordinator that was killed may still have a statement under way. This lock is held until the
    # session ends: who gets it in a database knows that nothing of the one before comes any more.
    db.execute("SELECT pg_advisory_lock(hashtext('coordinator'))")
    db.commit()
    return db


def transfer(sessions, step, amounts):
    """`amounts` has what each bank's account gains or loses."""
    transfer = str(uuid.uuid4())
    begun = []
    try:
        for bank, (account, amount) in amounts.items():
            step("prepare-" + bank)
            db = sessions.banks[bank]
            db.tpc_begin(f"transfer {transfer} {bank}")
            begun.append(db)
            db.execute("UPDATE accounts SET balance = balance + %s WHERE id = %s", (amount, account))
            event = json.dumps({"transfer": transfer, "account": account, "amount": amount})
            db.execute(
                "SELECT outbox_emit(%s, %s, 'Transferred', %s)", ("bank_" + bank, str(account), event)
            )
            db.tpc_prepare()
    except psycopg.errors.CheckViolation:  # not covered: neither bank does it
        for db in begun:
            db.tpc_rollback()
        return False
    step("decide")
    sessions.decisions.execute("INSERT INTO decision (transfer) VALUES (%s)", (transfer,))
    for bank in amounts:
        step("commit-" + bank)
        sessions.banks[bank].tpc_commit()
    return True


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--count", type=int, help="end after so many transfers")
    arguments.add_argument(
        "--die-at",
        choices=["prepare-a", "prepare-b", "decide", "commit-a", "commit-b"],
        help="die as by kill -9 right before this step, of a transfer among the first twenty",
    )
    arguments = arguments.parse_args()

    stopping = []
    signal.signal(signal.SIGTERM, lambda *_: stopping.append(True))
    dies_in = random.randrange(20)
    done = 0

    def step(name):
        if name == arguments.die_at and done >= dies_in:
            os.kill(os.getpid(), signal.SIGKILL)

    sessions = None
    while not stopping and done != arguments.count:
        amount = random.randint(-400, 400)
        try:
            sessions = sessions or Sessions()
            amounts = {"a": (random.randint(1, 3), -amount), "b": (random.randint(1, 3), amount)}
            transfer(sessions, step, amounts)
            done += 1
            time.sleep(0.01)
        except psycopg.OperationalError as error:
            # A database is away, and what became of the transfer is not known: as after a crash.
            print("postgres:", error, flush=True)
            if sessions:
                sessions.close()
            sessions = None
            time.sleep(0.2)
    print(done, "transfers", flush=True)


if __name__ == "__main__":
    main()
