-- An enum gets values, and one is renamed.
create type mood as enum ('sad', 'ok');
create table t (id int primary key, m mood);
-- stream
insert into t values (1, 'sad');
-- sync
alter type mood add value 'happy' after 'sad';
insert into t values (2, 'happy');
-- sync
alter type mood rename value 'ok' to 'fine';
update t set m = 'fine' where id = 1;
