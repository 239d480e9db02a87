-- Hashes of both kinds, asterisks, truncation: in values, before-images, keys.
-- option schemas.enable=true
-- option column.mask.hash.SHA-256.with.salt.CzQMA0cB5K=public.u.h1,public.u.k
-- option column.mask.hash.v2.SHA-256.with.salt.CzQMA0cB5K=public.u.h2
-- option column.mask.hash.MD5.with.salt.abc=public.u.h3
-- option column.mask.with.3.chars=public.u.m3
-- option column.mask.with.0.chars=public.u.m0
-- option column.truncate.to.4.chars=public.u.t4
-- option skipped.operations=none
create table u (k text primary key, h1 text, h2 text, h3 varchar(10), m3 text, m0 varchar(20), t4 text, n int);
alter table u replica identity full;
-- stream
begin;
insert into u values ('key', 'hello', 'hello', 'hello', 'secret', 'secret', 'abcdef', 1), ('k2', null, null, null, null, null, null, 2), ('k3', '', 'é😀', '', '', '', 'a😀b😀c', 3);
update u set n = 4 where k = 'key';
delete from u where k = 'key';
commit;
