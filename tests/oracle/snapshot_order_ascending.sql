-- The smallest tables first, by the statistics.
-- option snapshot.tables.order.by.row.count=ascending
create table a (id int primary key);
create table b (id int primary key);
create table c (id int primary key);
insert into a select generate_series(1, 4);
insert into b values (1);
insert into c values (1), (2);
analyze;
