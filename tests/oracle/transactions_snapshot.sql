-- Transaction metadata beside a snapshot.
-- option provide.transaction.metadata=true
-- option snapshot.mode=initial
create table a (id int primary key);
insert into a values (1), (2);
-- stream
insert into a values (3);
