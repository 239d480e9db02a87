-- The last table is empty.
create table a (id int primary key);
create table b (id int primary key);
create table z (id int primary key);
insert into a values (1), (2);
insert into b values (1);
