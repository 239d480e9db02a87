-- What walferry's outbox needs in this database. Safe to run again.
BEGIN;
SET LOCAL client_min_messages = warning;

-- Ids as CloudEvents likes them: UUIDs of version 7, which begin with the time.
CREATE OR REPLACE FUNCTION {schema}.outbox_id() RETURNS uuid
LANGUAGE sql VOLATILE SET search_path = pg_catalog AS $outbox$
    SELECT encode(set_bit(set_bit(overlay(uuid_send(gen_random_uuid())
        PLACING substring(int8send(floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint) FROM 3)
        FROM 1 FOR 6), 52, 1), 53, 1), 'hex')::uuid
$outbox$;
