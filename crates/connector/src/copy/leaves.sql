-- $1: partitioned tables. A row for each that has a partition whose changes are in no WAL of this server: a
-- foreign table, or an unlogged one. It has the other partitions, and the table's columns, quoted. It looks
-- into the catalogs alone: pg_partition_tree() would wait for locks, and not say whose.
SELECT t.oid,
       coalesce(array_agg(c.oid ORDER BY c.oid) FILTER (WHERE w.in_wal), '{}') AS leaves,
       coalesce(array_agg(pg_catalog.format('%I.%I', n.nspname, c.relname) ORDER BY c.oid)
                FILTER (WHERE w.in_wal), '{}') AS names,
       ARRAY(SELECT pg_catalog.quote_ident(a.attname) FROM pg_catalog.pg_attribute a
             WHERE a.attrelid = t.oid AND a.attnum > 0 AND NOT a.attisdropped
             ORDER BY a.attnum) AS columns
FROM unnest($1) AS t(oid)
CROSS JOIN LATERAL (
    WITH RECURSIVE below(relid) AS (
        SELECT i.inhrelid FROM pg_catalog.pg_inherits i WHERE i.inhparent = t.oid
        UNION ALL
        SELECT i.inhrelid FROM below b JOIN pg_catalog.pg_inherits i ON i.inhparent = b.relid)
    SELECT relid FROM below) p
JOIN pg_catalog.pg_class c ON c.oid = p.relid AND c.relkind <> 'p'
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
CROSS JOIN LATERAL (SELECT c.relkind = 'r' AND c.relpersistence = 'p' AS in_wal) w
GROUP BY t.oid
HAVING NOT bool_and(w.in_wal)
