-- What Debezium does not know, when asked for: bytes of the text.
-- option include.unknown.datatypes=true
create type pair as (a int, b text);
create table u (id int primary key, p pair, l pg_lsn, q tsquery, j jsonpath, b box, m int4multirange, r regclass, x xid);
-- stream
insert into u values (1, '(1,"x y")', '16/B374D848', 'a & b', '$.a', '(1,1),(0,0)', '{[1,5)}', 'pg_class', '5'), (2, null, null, null, null, null, null, null, null);
