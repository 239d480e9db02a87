-- Columns left out, masked, hashed and cut, a key by configuration, and tables left out: rows, then changes.
-- option snapshot.mode=initial
-- option table.exclude.list=hidden[.].*,app[.]other
-- option column.exclude.list=.*[.]secret,app[.]orders[.]user_id
-- option column.mask.with.5.chars=app[.]users[.]name
-- option column.mask.hash.v2.SHA-256.with.salt.CzQMA0cB5K=app[.]users[.]email
-- option column.truncate.to.2.chars=app[.]lines[.]name
-- option message.key.columns=app.lines:n
create schema app;
create schema hidden;
create table app.users (id int primary key, name text, email text, secret text);
create table app.orders (id int primary key, user_id int, total numeric(10,2));
create table app.lines (id int primary key, n int not null, name varchar(20));
create table app.other (id int primary key);
create table hidden.users (id int primary key, name text);
alter table app.users replica identity full;
alter table app.lines replica identity full;
insert into app.users values (1, 'Ada Lovelace', 'ada@example.org', 's3cret'), (2, null, '', 'xyz');
insert into app.orders values (1, 1, 9.99);
insert into app.lines values (1, 7, 'line'), (2, 8, 'é漢字'), (3, 9, null);
insert into app.other values (1);
insert into hidden.users values (1, 'no');
-- stream
update app.users set name = 'Ada' where id = 1;
delete from app.users where id = 2;
update app.orders set total = 1;
update app.lines set name = 'other' where id = 1;
delete from app.lines where id = 2;
insert into app.other values (2);
