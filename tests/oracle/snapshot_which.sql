-- Rows of some tables, and some rows by a statement; of the others, changes alone.
-- option snapshot.mode=initial
-- option snapshot.include.collection.list=public[.](b|c),public[.]e
-- option snapshot.select.statement.overrides=public.b,public.d
-- option snapshot.select.statement.overrides.public.b=SELECT * FROM public.b WHERE n > 1 ORDER BY id DESC
-- option snapshot.select.statement.overrides.public.d=SELECT * FROM public.d
create table a (id int primary key, n int);
create table b (id int primary key, n int, t text);
create table c (id int primary key);
create table d (id int primary key, n int);
create table e (id int primary key);
insert into a values (1, 1);
insert into b values (1, 1, 'no'), (2, 2, 'b'), (3, 3, null), (4, 4, 'd');
insert into c values (1), (2);
insert into d values (1, 1);
-- stream
update a set n = 2;
update b set n = 5 where id < 3;
delete from c where id = 2;
delete from d;
