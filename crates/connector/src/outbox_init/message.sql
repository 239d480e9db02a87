
-- An event without a table: it is in the WAL and nowhere else, and only if the transaction commits.
CREATE OR REPLACE FUNCTION {schema}.outbox_emit(
    aggregatetype text, aggregateid text, type text, payload jsonb,
    headers jsonb DEFAULT '{}', id uuid DEFAULT {schema}.outbox_id())
RETURNS uuid LANGUAGE sql VOLATILE SET search_path = pg_catalog AS $outbox$
    SELECT pg_logical_emit_message(true, {prefix}, jsonb_build_object(
        {id_text}, id, {route_text}, aggregatetype, {key_text}, aggregateid,
        {type_text}, type, {payload_text}, payload, 'headers', headers)::text);
    SELECT id
$outbox$;
