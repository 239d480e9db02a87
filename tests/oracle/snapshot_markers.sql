-- First and last marks: tables of none, one and many rows.
create table a_many (id int primary key);
create table b_one (id int primary key);
create table c_many (id int primary key, v text);
create table d_one (id int primary key);
insert into a_many select generate_series(1, 5);
insert into b_one values (1);
insert into c_many select g, 'v' || g from generate_series(1, 3) g;
insert into d_one values (1);
