-- Excluded columns, the primary key among them; keys of chosen columns; prefixes of messages.
-- option column.exclude.list=public.u.h1,public.u.id,.*secret
-- option message.key.columns=public.u:h2,v;public.(x|z):a
-- option message.prefix.include.list=ok.*,walferry-end
create table u (id int primary key, h1 text, h2 text not null, v int, asecret text);
create table x (id int primary key, a int);
create table y (id int primary key, a int, asecret text not null default 'x');
alter table u replica identity full;
alter table x replica identity full;
-- stream
begin;
insert into u values (1, 'x', 'y', 2, 's'), (2, 'x', 'y', 2, 's');
update u set v = 3 where id = 1;
update u set id = 3 where id = 1;
delete from u where id = 2;
commit;
begin;
insert into x values (1, 1);
update x set a = 2;
delete from x;
insert into y values (1, 1);
delete from y;
commit;
select pg_logical_emit_message(true, 'ok1', 'x');
select pg_logical_emit_message(true, 'no', 'x');
