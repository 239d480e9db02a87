-- Types that have no form of their own: bytes of their text when include.unknown.datatypes is on.
-- option include.unknown.datatypes=true
-- option schemas.enable=true
create extension ltree; create extension isn;
create type pair as (a int, b text);
create table unknown (id int primary key, c pair, mr int4multirange, q tsquery, x xid, l pg_lsn, jp jsonpath, rc regclass, rt regtype, bx box, ls lseg, pa path, po polygon, ci circle,
  li line, lq lquery, i13 isbn13, s issn, s13 issn13, m ismn, m13 ismn13, u upc, e ean13, tx txid_snapshot, sn pg_snapshot, n pair not null);
-- stream
begin;
insert into unknown values (1, '(1,"a b")', '{[1,3),[5,7)}', 'a & b', '7', '0/16B3748', '$.a[*]', 'pg_class', 'int4', '((0.5,0.5),(1.5,1.5))', '[(0.5,0.5),(1.5,1.5)]', '[(0.5,0.5),(1.5,1.5)]',
  '((0.5,0.5),(1.5,1.5),(1.5,0.5))', '<(0.5,0.5),1.5>', '{1.5,2.5,3.5}', 'Top.*', '978-0-393-04002-9', '1436-4522', '977-1436-452-00-8', 'M-3452-4680-5', '979-0-3452-4680-5', '220356483481', '978-0-393-04002-9',
  '10:20:10,14', '10:20:10,14', '(2,)');
delete from unknown;
commit;
