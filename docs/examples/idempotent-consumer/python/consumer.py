"""Adds up the amounts of events, each event once, whoever is killed meanwhile."""

import json
import os
import signal
import time

import psycopg
from confluent_kafka import Consumer, KafkaException

DATABASE = os.environ["DATABASE"]
TOPIC = os.environ["TOPIC"]
BY_POSITION = os.environ.get("BY") == "position"


def handle(db, event):
    """One event, one transaction: the effect, and the memory of it."""
    with db.transaction():
        if is_new(db, event) and event.value() is not None:
            add(db, json.loads(event.value()))


def is_new(db, event):
    headers = dict(event.headers())
    if BY_POSITION:
        known_by = ("billing", event.topic(), event.partition(), headers["walferry.id"].decode())
        return db.execute("SELECT walferry_inbox.advance(%s, %s, %s, %s)", known_by).fetchone()[0]
    known_by = ("billing", headers["id"].decode())
    return db.execute("SELECT walferry_inbox.is_new(%s, %s)", known_by).fetchone()[0]


def add(db, event):
    db.execute(
        "INSERT INTO balance VALUES (%(account)s, %(amount)s, 1) ON CONFLICT (account)"
        " DO UPDATE SET amount = balance.amount + EXCLUDED.amount, events = balance.events + 1",
        event,
    )


def consumer():
    settings = {
        "bootstrap.servers": os.environ["KAFKA"],
        "group.id": os.environ.get("GROUP", "billing"),
        "auto.offset.reset": "earliest",
        "enable.auto.offset.store": False,  # but by store_offsets, once an event is handled
        "auto.commit.interval.ms": 1000,
        "topic.metadata.refresh.interval.ms": 1000,  # until the first event has made the topic
    }
    if "INSTANCE" in os.environ:  # a name of its own: back after a crash, it has its partitions at once
        settings["group.instance.id"] = os.environ["INSTANCE"]
    return Consumer(settings)


def main():
    stopping = []
    signal.signal(signal.SIGTERM, lambda *_: stopping.append(True))
    kafka = consumer()
    kafka.subscribe([TOPIC])
    db = None
    while not stopping:
        event = kafka.poll(0.5)
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
                db = db or psycopg.connect(DATABASE, autocommit=True)
                handle(db, event)
                handled = True
            except psycopg.OperationalError as error:
                # Not known whether it was committed. Asked again, the inbox knows.
                print("postgres:", error, flush=True)
                db = None
                time.sleep(0.2)
        if handled:
            try:
                kafka.store_offsets(event)
            except KafkaException as error:  # its partition has moved: there it comes again, and is not new
                print("kafka:", error, flush=True)
    kafka.close()


if __name__ == "__main__":
    main()
