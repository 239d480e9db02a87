-- Empty tables alone, then rows.
-- option snapshot.mode=initial
create table a (id int primary key);
create table b (id int primary key);
-- stream
insert into b values (1);
