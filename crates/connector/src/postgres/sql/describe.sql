-- $1: a relation's oid; $2: type oids that its columns had when the change was made.
WITH RECURSIVE used(oid) AS (
    (
        SELECT given.oid FROM unnest($2) AS given(oid)
        UNION
        SELECT a.atttypid
        FROM pg_catalog.pg_attribute a
        WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped
    )
    UNION
    -- A domain's base; an array's element (typelem of fixed-length types is something else).
    SELECT CASE WHEN t.typtype = 'd' THEN t.typbasetype ELSE t.typelem END
    FROM used
    JOIN pg_catalog.pg_type t ON t.oid = used.oid
    WHERE t.typtype = 'd' OR (t.typlen = -1 AND t.typelem <> 0)
)
SELECT 'key' AS part, k.place::int8 AS place, a.attname::text AS name,
       NULL::oid AS oid, NULL::text AS schema, NULL::text AS kind, NULL::oid AS inner_type,
       NULL::int4 AS type_modifier, NULL::text[] AS labels
FROM pg_catalog.pg_index i
CROSS JOIN LATERAL unnest(i.indkey::int2[]) WITH ORDINALITY AS k(attnum, place)
JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
WHERE i.indrelid = $1 AND i.indisprimary AND k.place <= i.indnkeyatts
UNION ALL
SELECT 'identity', k.place::int8, a.attname::text, NULL, NULL, NULL, NULL, NULL, NULL
FROM pg_catalog.pg_index i
CROSS JOIN LATERAL unnest(i.indkey::int2[]) WITH ORDINALITY AS k(attnum, place)
JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
WHERE i.indrelid = $1 AND i.indisreplident AND k.place <= i.indnkeyatts
UNION ALL
SELECT 'not null', a.attnum, a.attname::text, NULL, NULL, NULL, NULL, NULL, NULL
FROM pg_catalog.pg_attribute a
JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped
  AND (a.attnotnull OR (t.typtype = 'd' AND t.typnotnull))
  -- From 18 on there may be such a constraint that need not hold for the rows that are there.
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_constraint c WHERE c.conrelid = a.attrelid
                  AND c.contype = 'n' AND c.conkey = ARRAY[a.attnum] AND NOT c.convalidated)
UNION ALL
SELECT 'default', a.attnum, a.attname::text, NULL, NULL, NULL, NULL, NULL,
       ARRAY[pg_catalog.pg_get_expr(d.adbin, d.adrelid)]
FROM pg_catalog.pg_attribute a
JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
UNION ALL
-- How many digits the locale puts behind the point of an amount.
SELECT 'money', 0, 'money', NULL, NULL, NULL, NULL,
       length(regexp_replace('1'::money::text, '[^0-9]', '', 'g')) - 1, NULL
WHERE EXISTS (SELECT FROM used WHERE used.oid = 790)
UNION ALL
SELECT 'type', t.oid::int8, t.typname::text, t.oid, n.nspname::text,
       CASE WHEN t.typtype = 'b' AND t.typlen = -1 AND t.typelem <> 0 THEN 'a'
            ELSE t.typtype::text END,
       CASE WHEN t.typtype = 'd' THEN t.typbasetype ELSE t.typelem END,
       t.typtypmod,
       CASE WHEN t.typtype = 'e' THEN ARRAY(
           SELECT e.enumlabel::text FROM pg_catalog.pg_enum e
           WHERE e.enumtypid = t.oid ORDER BY e.enumsortorder)
            WHEN t.typtype = 'b' AND t.typlen = -1 AND t.typelem <> 0 THEN ARRAY(
           SELECT e.typdelim::text FROM pg_catalog.pg_type e WHERE e.oid = t.typelem) END
FROM used
-- OFFSET keeps the planner, which expects hundreds of types, from reading all there are.
CROSS JOIN LATERAL (SELECT * FROM pg_catalog.pg_type WHERE pg_type.oid = used.oid OFFSET 0) t
JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
WHERE t.oid >= 16384 -- FirstNormalObjectId: what initdb did not make
ORDER BY 1, 2
