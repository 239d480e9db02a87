-- Logical messages: within and outside of transactions, empty, binary, between rows.
create table a (id int primary key);
-- stream
select pg_logical_emit_message(true, 'one', 'text é');
select pg_logical_emit_message(false, 'two', 'loose');
select pg_logical_emit_message(true, '', '');
select pg_logical_emit_message(true, 'bin', '\x00ff10'::bytea);
begin;
insert into a values (1);
select pg_logical_emit_message(true, 'one', 'between');
insert into a values (2);
commit;
