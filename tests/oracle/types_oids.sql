-- oid and what looks like it: only oid itself has a form.
create table o (id int primary key, o oid, rc regclass, rt regtype, rp regproc, x xid, c cid, t tid, l pg_lsn, x8 xid8);
-- stream
insert into o values (1, 4294967295, 'pg_class', 'int4', 'now', '5', '6', '(0,1)', '16/B374D848', '4294967297'), (2, null, null, null, null, null, null, null, null, null);
