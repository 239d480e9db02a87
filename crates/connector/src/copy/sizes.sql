-- $1: tables. How large each is with its partitions, and where its rows are. Read in the copy's
-- snapshot, but for the sizes, which are those of now: no row of the snapshot is beyond them.
SELECT t.oid,
       coalesce(max(pg_catalog.pg_relation_size(c.oid) / b.size), 0)::bigint AS blocks,
       coalesce(sum(pg_catalog.pg_table_size(c.oid)), 0)::bigint AS bytes,
       greatest(sum(c.reltuples), 0)::bigint AS rows,
       md5(string_agg(c.oid || ':' || c.relfilenode, ',' ORDER BY c.oid)) AS storage,
       -- Only a heap is known to have blocks that ctid names.
       bool_and(a.amname IS NOT DISTINCT FROM 'heap') AS by_block,
       coalesce(bool_or(pg_catalog.pg_relation_size(nullif(c.reltoastrelid, 0)) > 0), false) AS outside
FROM unnest($1) AS t(oid)
CROSS JOIN (SELECT pg_catalog.current_setting('block_size')::bigint AS size) b
CROSS JOIN LATERAL (
    SELECT t.oid AS relid UNION
    SELECT p.relid::oid FROM pg_catalog.pg_partition_tree(t.oid::pg_catalog.regclass) p) p
JOIN pg_catalog.pg_class c ON c.oid = p.relid AND c.relkind = 'r' AND c.relpersistence = 'p'
LEFT JOIN pg_catalog.pg_am a ON a.oid = c.relam
GROUP BY t.oid
