"""Moves money between accounts, and tells the other side of each transfer.

By default the event is part of the transaction (outbox_emit). With --dual-write the service writes to
its database and then to Kafka itself: that is the bug this example is about.
"""

import argparse
import json
import os
import random
import signal
import time
import uuid

import psycopg
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

TOPIC = "outbox.event.transfer"


def move(db, source, target, amount):
    """The service's own business."""
    db.execute(
        "UPDATE accounts SET transfers = transfers + 1,"
        " balance = balance + CASE id WHEN %(source)s THEN -%(amount)s ELSE %(amount)s END"
        " WHERE id IN (%(source)s, %(target)s)",
        {"source": source, "target": target, "amount": amount},
    )


def transfer(db, source, target, amount):
    event = json.dumps({"from": source, "to": target, "amount": amount})
    with db.transaction():
        move(db, source, target, amount)
        db.execute("SELECT outbox_emit('transfer', %s, 'MoneyMoved', %s)", (str(source), event))


def transfer_by_dual_write(db, kafka, gap, source, target, amount):
    event = json.dumps({"from": source, "to": target, "amount": amount})
    with db.transaction():
        move(db, source, target, amount)
    gap()  # who dies here has moved money that the other side never hears of
    kafka.produce(TOPIC, event, str(source), headers={"id": str(uuid.uuid4())})
    kafka.flush()


def producer():
    kafka = {"bootstrap.servers": os.environ["KAFKA"]}
    AdminClient(kafka).create_topics([NewTopic(TOPIC, 1)])  # walferry makes its topics by itself
    return Producer(kafka)


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--dual-write", action="store_true", help="show the bug")
    arguments.add_argument("--count", type=int, help="end after so many transfers")
    arguments.add_argument("--die-after", type=int, help="die as by kill -9 once so many are committed")
    arguments = arguments.parse_args()

    stopping = []
    signal.signal(signal.SIGTERM, lambda *_: stopping.append(True))
    kafka = producer() if arguments.dual_write else None
    db = None
    done = 0

    def gap():
        if done + 1 == arguments.die_after:
            os.kill(os.getpid(), signal.SIGKILL)

    while not stopping and done != arguments.count:
        source, target = random.sample(range(1, 11), 2)
        amount = random.randint(1, 100)
        try:
            db = db or psycopg.connect(os.environ["ACCOUNTS"], autocommit=True)
            if arguments.dual_write:
                transfer_by_dual_write(db, kafka, gap, source, target, amount)
            else:
                transfer(db, source, target, amount)
                gap()  # the same death, and nothing is lost: the event was committed with the transfer
            done += 1
            time.sleep(0.01)
        except psycopg.OperationalError as error:
            # The database is away. Whether this transfer was committed is not known, nor does it
            # matter here: its event shares its fate.
            print("postgres:", error, flush=True)
            db = None
            time.sleep(0.2)
    print(done, "transfers", flush=True)


if __name__ == "__main__":
    main()
