
-- No event is missed from here on, whether walferry runs yet or not: the slot keeps the WAL for it. This needs
-- the right to replicate. Without it walferry's first start makes the slot, and must come before the first event.
SELECT pg_create_logical_replication_slot({slot}, 'pgoutput')
    WHERE NOT EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = {slot})
        AND EXISTS (SELECT FROM pg_publication WHERE pubname = {publication_text});
