"""Keeps a copy of the table customers in another database, by the changes of the first."""

import json
import os
import signal
import time

import psycopg
from confluent_kafka import Consumer, KafkaException

TOPIC = os.environ.get("TOPIC", "shop.public.customers")


def handle(db, event):
    """One change. Older ones that come again must not take the copy back, so each asks first."""
    position = dict(event.headers())["walferry.id"].decode()
    with db.transaction():
        known_by = ("copy", event.topic(), event.partition(), position)
        news = db.execute("SELECT walferry_inbox.advance(%s, %s, %s, %s)", known_by).fetchone()[0]
        if not news or event.value() is None:  # a tombstone follows each delete, for Kafka's compaction
            return
        change = json.loads(event.value())
        if change["op"] == "d":
            db.execute("DELETE FROM customers WHERE id = %(id)s", change["before"])
        else:  # c: inserted, u: updated, r: was there before
            db.execute(UPSERT, change["after"])


# A large value that an update did not touch is not in the log: a placeholder stands for it.
UPSERT = """
    INSERT INTO customers (id, name, note) VALUES (%(id)s, %(name)s, %(note)s)
    ON CONFLICT (id) DO UPDATE SET
        name = EXCLUDED.name,
        note = CASE EXCLUDED.note WHEN '__debezium_unavailable_value' THEN customers.note
                                  ELSE EXCLUDED.note END
"""


def main():
    stopping = []
    signal.signal(signal.SIGTERM, lambda *_: stopping.append(True))
    consumer = Consumer({
        "bootstrap.servers": os.environ["KAFKA"],
        "group.id": os.environ.get("GROUP", "copy"),
        "group.instance.id": "copy-1",  # back after a crash, it has its partitions at once
        "auto.offset.reset": "earliest",
        "enable.auto.offset.store": False,  # but by store_offsets, once an event is handled
        "auto.commit.interval.ms": 1000,
        "topic.metadata.refresh.interval.ms": 1000,  # until walferry has made the topic
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
                db = db or psycopg.connect(os.environ["COPY"], autocommit=True)
                handle(db, event)
                handled = True
            except psycopg.OperationalError as error:
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
