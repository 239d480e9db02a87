"""The other side: keeps a mirror of the balances by what it is told, each transfer once."""

import json
import os
import signal
import time

import psycopg
from confluent_kafka import Consumer, KafkaException

TOPIC = "outbox.event.transfer"


def handle(db, event):
    event_id = dict(event.headers())["id"].decode()
    with db.transaction():
        is_new = db.execute("SELECT walferry_inbox.is_new('mirror', %s)", (event_id,)).fetchone()[0]
        if is_new:
            apply(db, json.loads(event.value()))


def apply(db, event):
    for account, amount in ((event["from"], -event["amount"]), (event["to"], event["amount"])):
        db.execute(
            "UPDATE mirror SET transfers = transfers + 1, balance = balance + %s WHERE id = %s",
            (amount, account),
        )


def main():
    stopping = []
    signal.signal(signal.SIGTERM, lambda *_: stopping.append(True))
    consumer = Consumer({
        "bootstrap.servers": os.environ["KAFKA"],
        "group.id": os.environ.get("GROUP", "mirror"),
        "group.instance.id": "mirror-1",  # back after a crash, it has its partitions at once
        "auto.offset.reset": "earliest",
        "enable.auto.offset.store": False,  # but by store_offsets, once an event is handled
        "auto.commit.interval.ms": 1000,
        "topic.metadata.refresh.interval.ms": 1000,  # until the first event has made the topic
    })
    consumer.subscribe([TOPIC])
    db = None
    while not stopping:
        event = consumer.poll(0.5)
        if event is None:
            continue
        if event.error():
            if event.error().fatal():  # such as another instance of the same name
                raise KafkaException(event.error())
            print("kafka:", event.error(), flush=True)  # it is away: poll goes on by itself
            continue
        handled = False
        while not handled and not stopping:
            try:
                db = db or psycopg.connect(os.environ["MIRROR"], autocommit=True)
                handle(db, event)
                handled = True
            except psycopg.OperationalError as error:
                # Not known whether it was committed. Asked again, is_new tells.
                print("postgres:", error, flush=True)
                db = None
                time.sleep(0.2)
        if handled:
            try:
                consumer.store_offsets(event)
            except KafkaException as error:  # its partition has moved: there it comes again, and is not new
                print("kafka:", error, flush=True)
    consumer.close()


if __name__ == "__main__":
    main()
