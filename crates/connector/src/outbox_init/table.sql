
CREATE TABLE IF NOT EXISTS {table} (
    {id} uuid PRIMARY KEY DEFAULT {schema}.outbox_id(),
    {route} text NOT NULL CHECK ({route_column_rule}),
    {key} text NOT NULL,
    {type} text NOT NULL,
    {payload} jsonb{columns}
);
-- A table that was there before, such as Debezium's, gets what it lacks. It is not locked if that is nothing.
DO $outbox$
DECLARE
    lacking record;
BEGIN
    FOR lacking IN
        SELECT name, definition FROM (VALUES
            {wanted}
        ) AS wanted (name, definition)
        WHERE NOT EXISTS (SELECT FROM pg_attribute WHERE attrelid = {table_text}::regclass
            AND attname = wanted.name AND NOT attisdropped)
    LOOP
        IF lacking.definition IS NULL THEN
            RAISE EXCEPTION 'the table % has no column %: correct outbox.table.field.* or outbox.route.by.field',
                {table_text}, lacking.name;
        END IF;
        EXECUTE format('ALTER TABLE {table} ADD COLUMN %I ', lacking.name) || lacking.definition;
    END LOOP;
    IF NOT EXISTS (SELECT FROM pg_index JOIN pg_attribute ON attrelid = indrelid AND attnum = indkey[0]
            WHERE indrelid = {table_text}::regclass AND attname = 'transaction') THEN
        CREATE INDEX ON {table} (transaction);
    END IF;
END $outbox$;

-- An event by the table. The row is deleted at once: walferry reads it from the WAL, and there is
-- nothing to clean up.
CREATE OR REPLACE FUNCTION {schema}.outbox_insert(
    aggregatetype text, aggregateid text, type text, payload jsonb,
    id uuid DEFAULT {schema}.outbox_id(), additional jsonb DEFAULT '{}')
RETURNS uuid LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog AS $outbox$
DECLARE
    made {table}; -- so that each value becomes what its column is
BEGIN
    PERFORM {schema}.outbox_check(aggregatetype, aggregateid, type, id, '{}', additional,
        {known_columns});
    made.{id} := id;
    made.{route} := aggregatetype;
    made.{key} := aggregateid;
    made.{type} := type;
    made.{payload} := payload;
{fill}    INSERT INTO {table} ({id}, {route}, {key}, {type}, {payload}{names})
        VALUES (made.{id}, made.{route}, made.{key}, made.{type}, made.{payload}{values});
    DELETE FROM {table} AS event WHERE event.{id} = made.{id};
    RETURN id;
END
$outbox$;
COMMENT ON FUNCTION {schema}.outbox_insert IS {table_mark};

-- For services that insert rows and leave them: deletes what is confirmed to be in Kafka, at most so
-- many rows. A snapshot and a position are remembered; once the slot is confirmed beyond the position,
-- whatever that snapshot sees is published. Not to be called before walferry's first copy is over: what is
-- older than the slot is only in the copy.
CREATE TABLE IF NOT EXISTS {schema}.outbox_seen (
    slot text PRIMARY KEY,
    snapshot pg_snapshot NOT NULL,
    position pg_lsn NOT NULL,
    -- The transaction that asked: its own snapshot does not count it as running.
    own xid8,
    -- By these the server and the slot are known again; decoded is the slot's count of transactions.
    system_identifier bigint NOT NULL,
    confirmed pg_lsn NOT NULL,
    restart pg_lsn,
    decoded bigint NOT NULL
);
CREATE OR REPLACE FUNCTION {schema}.outbox_clean(batch int DEFAULT 10000, slot text DEFAULT {slot})
RETURNS bigint LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $outbox$
DECLARE
    here record;
    seen {schema}.outbox_seen;
    is_known boolean;
    deleted bigint := 0;
BEGIN
    IF batch IS NULL OR batch < 1 THEN
        RAISE EXCEPTION 'batch must be 1 or more' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    SELECT control.system_identifier, held.confirmed_flush_lsn AS confirmed, held.restart_lsn AS restart,
            coalesce(counted.total_txns, 0) AS decoded INTO here
        FROM pg_control_system() AS control, pg_replication_slots AS held
        LEFT JOIN pg_stat_replication_slots AS counted ON counted.slot_name = held.slot_name
        WHERE held.slot_name = outbox_clean.slot AND held.database = current_database()
            AND held.plugin = 'pgoutput' AND held.confirmed_flush_lsn IS NOT NULL;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no slot % of walferry''s in this database', outbox_clean.slot
            USING HINT = 'give the name that postgres.slot has in walferry''s configuration';
    END IF;
    SELECT * INTO seen FROM {schema}.outbox_seen AS known
        WHERE known.slot = outbox_clean.slot FOR UPDATE;
    -- Another server, as after a restored dump, or a slot that was made anew: nothing is known of it.
    is_known := (seen.system_identifier = here.system_identifier AND seen.confirmed <= here.confirmed
        AND seen.restart <= here.restart AND seen.decoded <= here.decoded) IS TRUE;
    IF is_known AND seen.position <= here.confirmed THEN
        WITH done AS (
            SELECT event.tableoid, event.ctid FROM {table} AS event
                WHERE event.transaction < pg_snapshot_xmax(seen.snapshot)
                    AND pg_visible_in_snapshot(event.transaction, seen.snapshot)
                    AND event.transaction IS DISTINCT FROM seen.own
                ORDER BY event.transaction LIMIT outbox_clean.batch)
        DELETE FROM {table} AS event USING done
            WHERE event.tableoid = done.tableoid AND event.ctid = done.ctid;
        GET DIAGNOSTICS deleted = ROW_COUNT;
    END IF;
    IF NOT is_known OR (seen.position <= here.confirmed AND deleted < outbox_clean.batch) THEN
        -- The position is taken after the snapshot: what this sees was committed before it.
        INSERT INTO {schema}.outbox_seen AS known
            VALUES (outbox_clean.slot, pg_current_snapshot(), pg_current_wal_insert_lsn(),
                pg_current_xact_id_if_assigned(), here.system_identifier, here.confirmed, here.restart,
                here.decoded)
            ON CONFLICT ON CONSTRAINT outbox_seen_pkey
            DO UPDATE SET (snapshot, position, own, system_identifier, confirmed, restart, decoded)
                = (EXCLUDED.snapshot, EXCLUDED.position, EXCLUDED.own, EXCLUDED.system_identifier,
                   EXCLUDED.confirmed, EXCLUDED.restart, EXCLUDED.decoded);
    END IF;
    RETURN deleted;
END
$outbox$;
REVOKE ALL ON FUNCTION {schema}.outbox_clean FROM PUBLIC;
COMMENT ON FUNCTION {schema}.outbox_clean IS {table_mark};
