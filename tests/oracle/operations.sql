-- Truncate and logical messages, when asked for.
-- option skipped.operations=none
create table a (id int primary key);
create table b (id int);
-- stream
insert into a values (1);
truncate a, b;
select pg_logical_emit_message(true, 'prefix', 'content é');
select pg_logical_emit_message(false, 'loose', '');
