
CREATE TABLE IF NOT EXISTS {table} (
    {id} uuid PRIMARY KEY DEFAULT {schema}.outbox_id(),
    {route} text NOT NULL CHECK ({route} <> ''),
    {key} text NOT NULL,
    {type} text NOT NULL,
    {payload} jsonb,
    created_at timestamptz NOT NULL DEFAULT now(),
    -- The transaction, by which outbox_clean() tells what is published.
    transaction xid8 NOT NULL DEFAULT pg_current_xact_id()
);

-- An event by the table. The row is deleted at once: walferry reads it from the WAL, and there is
-- nothing to clean up.
CREATE OR REPLACE FUNCTION {schema}.outbox_insert(
    aggregatetype text, aggregateid text, type text, payload jsonb,
    id uuid DEFAULT {schema}.outbox_id())
RETURNS uuid LANGUAGE sql VOLATILE SET search_path = pg_catalog AS $outbox$
    INSERT INTO {table} ({id}, {route}, {key}, {type}, {payload})
        VALUES (id, aggregatetype, aggregateid, type, payload);
    DELETE FROM {table} AS event WHERE event.{id} = outbox_insert.id;
    SELECT id
$outbox$;

-- For services that insert rows and leave them: deletes what is confirmed to be in Kafka, at most so
-- many rows. A snapshot and a position are remembered; once the slot is confirmed beyond the position,
-- whatever that snapshot sees is published.
CREATE TABLE IF NOT EXISTS {schema}.outbox_seen (
    slot text PRIMARY KEY,
    snapshot pg_snapshot NOT NULL,
    position pg_lsn NOT NULL
);
CREATE OR REPLACE FUNCTION {schema}.outbox_clean(batch int DEFAULT 10000, slot text DEFAULT {slot})
RETURNS bigint LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $outbox$
DECLARE
    confirmed pg_lsn;
    seen {schema}.outbox_seen;
    deleted bigint := 0;
BEGIN
    SELECT confirmed_flush_lsn INTO confirmed FROM pg_replication_slots
        WHERE slot_name = outbox_clean.slot AND database = current_database();
    IF confirmed IS NULL THEN
        RAISE EXCEPTION 'there is no logical replication slot % in this database', outbox_clean.slot
            USING HINT = 'give the name that postgres.slot has in walferry''s configuration';
    END IF;
    SELECT * INTO seen FROM {schema}.outbox_seen AS known
        WHERE known.slot = outbox_clean.slot FOR UPDATE;
    IF seen.position <= confirmed THEN
        WITH done AS (
            SELECT event.ctid FROM {table} AS event
                WHERE pg_visible_in_snapshot(event.transaction, seen.snapshot)
                LIMIT outbox_clean.batch FOR UPDATE SKIP LOCKED)
        DELETE FROM {table} AS event USING done WHERE event.ctid = done.ctid;
        GET DIAGNOSTICS deleted = ROW_COUNT;
    END IF;
    IF seen.position IS NULL OR (seen.position <= confirmed AND deleted < outbox_clean.batch) THEN
        -- The position is taken after the snapshot: what this sees was committed before it.
        INSERT INTO {schema}.outbox_seen AS known
            VALUES (outbox_clean.slot, pg_current_snapshot(), pg_current_wal_insert_lsn())
            ON CONFLICT ON CONSTRAINT outbox_seen_pkey
            DO UPDATE SET snapshot = EXCLUDED.snapshot, position = EXCLUDED.position;
    END IF;
    RETURN deleted;
END
$outbox$;
REVOKE ALL ON FUNCTION {schema}.outbox_clean(int, text) FROM PUBLIC;
