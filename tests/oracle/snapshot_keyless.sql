-- Tables without a key, generated and identity columns.
create table a (x int, y text);
create table g (id int generated always as identity primary key, a int, b int generated always as (a * 2) stored);
insert into a values (1, 'a'), (1, 'a'), (null, null);
insert into g (a) values (5);
