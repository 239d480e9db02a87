-- What walferry's outbox needs in this database. Safe to run again.
BEGIN;
SET LOCAL client_min_messages = warning;

-- One outbox a schema: functions that were made for another are not replaced.
DO $outbox$
DECLARE
    made record;
BEGIN
    PERFORM pg_advisory_xact_lock(7741966);
    SELECT function.oid::regprocedure AS name, obj_description(function.oid, 'pg_proc') AS mark INTO made
        FROM (VALUES {marks}) AS mine (name, mark)
        JOIN pg_proc AS function ON proname = mine.name AND pronamespace = to_regnamespace({schema_text})
        WHERE obj_description(function.oid, 'pg_proc') IS DISTINCT FROM mine.mark LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'the function % is there and not for this outbox, but for: %; give this outbox a schema of its own (walferry outbox init --schema NAME), or drop the function if nothing calls it',
            made.name, coalesce(made.mark, 'not known');
    END IF;
    IF to_regnamespace({schema_text}) IS NULL THEN
        CREATE SCHEMA {schema};
    END IF;
END $outbox$;

-- Ids as CloudEvents likes them: UUIDs of version 7, which begin with the time.
CREATE OR REPLACE FUNCTION {schema}.outbox_id() RETURNS uuid
LANGUAGE sql VOLATILE SET search_path = pg_catalog AS $outbox$
    SELECT encode(set_bit(set_bit(overlay(uuid_send(gen_random_uuid())
        PLACING substring(int8send(floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint) FROM 3)
        FROM 1 FOR 6), 52, 1), 53, 1), 'hex')::uuid
$outbox$;

-- What walferry could not publish is refused where it fails only the transaction that wrote it.
CREATE OR REPLACE FUNCTION {schema}.outbox_check(aggregatetype text, aggregateid text, type text,
    id uuid, headers jsonb, additional jsonb, known text[])
RETURNS void LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog AS $outbox$
DECLARE
    fault text := CASE
        WHEN aggregatetype IS NULL OR aggregateid IS NULL OR type IS NULL OR id IS NULL
            THEN 'aggregatetype, aggregateid, type and id must not be null'
        WHEN NOT ({route_rule})
            THEN 'aggregatetype makes no legal name of a topic: letters, digits, dots, - and _, 249 at most'
        WHEN jsonb_typeof(headers) <> 'object' THEN 'headers must be an object'
        WHEN jsonb_typeof(additional) <> 'object' THEN 'additional must be an object'
        WHEN EXISTS (SELECT FROM jsonb_each(headers) AS header (name, value)
                WHERE jsonb_typeof(header.value) IN ('object', 'array'))
            THEN 'headers are texts, numbers, booleans and nulls'
        WHEN EXISTS (SELECT FROM jsonb_object_keys(headers) AS header (name)
                WHERE header.name = 'id' OR starts_with(header.name, 'walferry.'))
            THEN 'the headers id and walferry.* are walferry''s own'
        WHEN EXISTS (SELECT FROM jsonb_object_keys(additional) AS field (name)
                WHERE field.name <> ALL (known))
            THEN 'additional has a member that the configuration does not name; it names: '
                || coalesce(nullif(array_to_string(known, ', '), ''), 'none'){partition_rule}
    END;
BEGIN
    IF fault IS NOT NULL THEN
        RAISE EXCEPTION 'no event: %', fault USING ERRCODE = 'invalid_parameter_value';
    END IF;
END
$outbox$;
COMMENT ON FUNCTION {schema}.outbox_check IS {check_mark};
