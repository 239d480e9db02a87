-- Topics with another delimiter.
-- option topic.delimiter=-
-- option schemas.enable=true
-- option provide.transaction.metadata=true
create table t (id int primary key);
-- stream
insert into t values (1);
select pg_logical_emit_message(true, 'p', 'm');
