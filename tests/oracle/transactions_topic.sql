-- The transaction topic under another name.
-- option provide.transaction.metadata=true
-- option topic.transaction=tx
create table a (id int primary key);
-- stream
insert into a values (1);
begin;
insert into a values (2);
delete from a where id = 1;
commit;
