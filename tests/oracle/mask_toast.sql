-- Masks on values that an update leaves alone out of line.
-- option column.mask.with.4.chars=public[.]t[.]a
-- option column.truncate.to.5.chars=public[.]t[.]b
create table t (id int primary key, v int, a text, b text);
alter table t alter a set storage external, alter b set storage external;
-- stream
insert into t values (1, 1, repeat('a', 3000), repeat('b', 3000));
update t set v = 2;
