-- Some columns of some tables: rows, then changes.
-- option snapshot.mode=initial
-- option table.include.list=app[.].*
-- option column.include.list=app[.]users[.](id|NAME),app[.]orders[.].*
create schema app;
create table app.users (id int primary key, name text, email text, secret text);
create table app.orders (id int primary key, user_id int, total numeric(10,2));
create table public.users (id int primary key, name text);
insert into app.users values (1, 'Ada', 'ada@example.org', 's3cret');
insert into app.orders values (1, 1, 9.99);
insert into public.users values (1, 'no');
-- stream
update app.users set email = 'x';
delete from app.users;
delete from app.orders;
