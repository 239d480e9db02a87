-- Five tables in three schemas; other cases filter them.
create schema app;
create schema hidden;
create table app.users (id int primary key, name text, email text, secret text);
create table app.orders (id int primary key, user_id int, total numeric(10,2));
create table app.order_lines (id int primary key, name varchar(20));
create table hidden.users (id int primary key, name text);
create table public.users (id int primary key, name text);
alter table app.users replica identity full;
-- stream
insert into app.users values (1, 'Ada Lovelace', 'ada@example.org', 's3cret'), (2, null, '', 'é漢😀xyz');
insert into app.orders values (1, 1, 9.99);
insert into app.order_lines values (1, 'line');
insert into hidden.users values (1, 'no');
insert into public.users values (1, 'yes');
update app.users set name = 'Ada', email = 'ada@example.com' where id = 1;
update app.users set id = 3 where id = 1;
delete from app.users where id = 2;
