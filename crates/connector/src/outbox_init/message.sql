
-- An event without a table: it is in the WAL and nowhere else, and only if the transaction commits.
CREATE OR REPLACE FUNCTION {schema}.outbox_emit(
    aggregatetype text, aggregateid text, type text, payload jsonb, headers jsonb DEFAULT '{}',
    id uuid DEFAULT {schema}.outbox_id(), additional jsonb DEFAULT '{}')
RETURNS uuid LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog AS $outbox$
BEGIN
    PERFORM {schema}.outbox_check(aggregatetype, aggregateid, type, id, headers, additional,
        {known_members});
    PERFORM pg_logical_emit_message(true, {prefix}, jsonb_build_object(
        {id_text}, id, {route_text}, aggregatetype, {key_text}, aggregateid,
        {type_text}, type, {payload_text}, payload, 'headers', headers{members})::text);
    RETURN id;
END
$outbox$;
COMMENT ON FUNCTION {schema}.outbox_emit IS {emit_mark};
