-- $1: the publication. A row for each column that the stream shows of each table under whose name
-- changes arrive; one with NULLs for a table without such columns. Read in the copy's snapshot.
-- $2: only the table of this name, `schema.table`; NULL for all.
-- Columns that a major lacks come out of the row's JSON form as NULL: one text for 14 to 18.
SELECT c.oid, n.nspname::text AS schema, c.relname::text AS name, c.relkind::text AS kind,
       c.relreplident::text AS identity, to_jsonb(t) ->> 'rowfilter' AS row_filter,
       a.attname::text AS column_name, a.atttypid AS column_type, a.atttypmod AS type_modifier,
       c.relreplident = 'f' OR EXISTS (
           SELECT 1 FROM pg_catalog.pg_index i
           CROSS JOIN LATERAL unnest(i.indkey::int2[]) WITH ORDINALITY AS k(attnum, place)
           WHERE i.indrelid = c.oid AND k.attnum = a.attnum AND k.place <= i.indnkeyatts
             AND CASE c.relreplident WHEN 'd' THEN i.indisprimary
                                     WHEN 'i' THEN i.indisreplident ELSE false END
       ) AS in_identity
FROM pg_catalog.pg_publication_tables t
JOIN pg_catalog.pg_namespace n ON n.nspname = t.schemaname
JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = t.tablename
LEFT JOIN pg_catalog.pg_attribute a
       ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
      AND (NOT to_jsonb(t) ? 'attnames' OR to_jsonb(t) -> 'attnames' ? a.attname::text)
      -- From 18 on `attnames` tells of generated columns; before, none is published.
      AND (a.attgenerated = ''
           OR pg_catalog.current_setting('server_version_num')::int >= 180000)
-- Nothing of a foreign partition, or of an unlogged one, comes by the stream: it is not copied either.
WHERE c.relkind IN ('r', 'p') AND c.relpersistence = 'p'
  AND t.pubname = $1 AND ($2::text IS NULL OR n.nspname || '.' || c.relname = $2)
ORDER BY n.nspname, c.relname, a.attnum
