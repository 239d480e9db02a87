-- bytea and its arrays; also in a key.
create table b (id bytea primary key, b bytea, n bytea not null, a bytea[]);
-- stream
insert into b values ('\x00ff10', '\xfbff', '', array['\x01'::bytea, null, '']), ('', null, '\xdeadbeef', '{}');
update b set b = '' where id = '';
delete from b;
