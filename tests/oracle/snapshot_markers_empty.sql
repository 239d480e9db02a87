-- Empty tables at the beginning, in the middle and at the end; then changes of rows that were read, within a transaction and beside it.
-- option snapshot.mode=initial
create table a_empty (id int primary key, v text);
create table b_many (id int primary key, v text);
create table c_empty (id int primary key);
create table d_one (id int primary key, v text);
create table e_empty (id int primary key);
create table f_many (id int primary key, v text not null, n numeric(8,2));
create table g_empty (id int primary key);
insert into b_many select g, 'v' || g from generate_series(1, 4) g;
insert into d_one values (1, 'one');
insert into f_many select g, 'f' || g, g / 4.0 from generate_series(1, 3) g;
-- stream
update b_many set v = 'changed' where id = 1;
delete from b_many where id = 2;
begin;
update d_one set id = 5;
update f_many set n = null where id < 3;
insert into a_empty values (1, 'now');
delete from f_many where id = 3;
commit;
delete from d_one;
