-- The consumer's side of walferry's events: whether an event is new, answered in the transaction that
-- also has the event's effect. Safe to run again; by several at once, if each runs it as one transaction
-- (psql -1).
DO $inbox$ BEGIN
    PERFORM pg_advisory_xact_lock(7741967);
END $inbox$;

CREATE SCHEMA IF NOT EXISTS walferry_inbox;

-- By id: for consumers that read in any order. One row an event, kept for as long as repeats may come.
CREATE TABLE IF NOT EXISTS walferry_inbox.seen (
    consumer text NOT NULL,
    id text NOT NULL,
    seen_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (consumer, id)
);
CREATE INDEX IF NOT EXISTS seen_at ON walferry_inbox.seen (seen_at);

-- By position: for consumers that read each partition in order. One row a partition.
CREATE TABLE IF NOT EXISTS walferry_inbox.position (
    consumer text NOT NULL,
    topic text NOT NULL,
    partition int NOT NULL,
    epoch numeric NOT NULL,
    lsn pg_lsn NOT NULL,
    ordinal numeric NOT NULL,
    PRIMARY KEY (consumer, topic, partition)
) WITH (fillfactor = 50);

-- Whether this consumer sees the id for the first time, and remembers it. Another transaction that
-- asks for the same id meanwhile waits for the end of this one.
CREATE OR REPLACE FUNCTION walferry_inbox.is_new(consumer text, id text) RETURNS boolean
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog AS $inbox$
BEGIN
    INSERT INTO walferry_inbox.seen (consumer, id) VALUES (is_new.consumer, is_new.id)
        ON CONFLICT DO NOTHING;
    RETURN FOUND;
END
$inbox$;

-- Whether an event is beyond all that this consumer has seen of its partition, and moves there.
-- walferry_id is the header walferry.id: epoch:LSN:ordinal.
CREATE OR REPLACE FUNCTION walferry_inbox.advance(
    consumer text, topic text, partition int, walferry_id text) RETURNS boolean
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog AS $inbox$
DECLARE
    parts text[] := string_to_array(walferry_id, ':');
    before numeric;
BEGIN
    IF cardinality(parts) IS DISTINCT FROM 3 THEN
        RAISE EXCEPTION 'the header walferry.id is of the form epoch:LSN:ordinal'
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    INSERT INTO walferry_inbox.position AS known
        VALUES (advance.consumer, advance.topic, advance.partition,
                parts[1]::numeric, parts[2]::pg_lsn, parts[3]::numeric)
        ON CONFLICT ON CONSTRAINT position_pkey DO UPDATE
            SET epoch = EXCLUDED.epoch, lsn = EXCLUDED.lsn, ordinal = EXCLUDED.ordinal
            WHERE (known.epoch, known.lsn, known.ordinal)
                < (EXCLUDED.epoch, EXCLUDED.lsn, EXCLUDED.ordinal);
    IF FOUND THEN
        RETURN true;
    END IF;
    SELECT known.epoch INTO before FROM walferry_inbox.position AS known
        WHERE (known.consumer, known.topic, known.partition)
            = (advance.consumer, advance.topic, advance.partition);
    IF before > parts[1]::numeric THEN
        -- Of another database: its positions say nothing beside those before.
        RAISE EXCEPTION 'events of epoch % come after those of epoch %', parts[1], before
            USING HINT = 'if the source was replaced on purpose: SELECT walferry_inbox.forget(consumer, topic)',
                  ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    RETURN false;
END
$inbox$;

-- Starts over with a topic by position.
CREATE OR REPLACE FUNCTION walferry_inbox.forget(consumer text, topic text) RETURNS bigint
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog AS $inbox$
DECLARE
    gone bigint;
BEGIN
    DELETE FROM walferry_inbox.position AS known
        WHERE known.consumer = forget.consumer AND known.topic = forget.topic;
    GET DIAGNOSTICS gone = ROW_COUNT;
    RETURN gone;
END
$inbox$;

-- Deletes ids that are older, at most so many at once; how many. The age must be longer than any
-- repeat can be late: than the longest outage of walferry, and the consumer's own.
CREATE OR REPLACE FUNCTION walferry_inbox.clean(older_than interval, batch int DEFAULT 10000)
RETURNS bigint LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog AS $inbox$
DECLARE
    gone bigint;
BEGIN
    WITH old AS (
        SELECT ctid FROM walferry_inbox.seen WHERE seen_at < now() - older_than
            ORDER BY seen_at LIMIT batch FOR UPDATE SKIP LOCKED)
    DELETE FROM walferry_inbox.seen AS seen USING old WHERE seen.ctid = old.ctid;
    GET DIAGNOSTICS gone = ROW_COUNT;
    RETURN gone;
END
$inbox$;
