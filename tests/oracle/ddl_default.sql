-- Defaults and NOT NULL change while streaming.
-- option schemas.enable=true
create table t (id int primary key, a int default 1, b text);
-- stream
insert into t values (1, 1, 'x');
-- sync
alter table t alter a set default 2, alter b set not null;
alter table t add c int;
insert into t (id, b) values (2, 'x');
-- sync
alter table t alter a drop default, alter b drop not null;
alter table t drop c;
insert into t (id, b) values (3, null);
