-- Columns change their types.
create table t (id int primary key, a int, b varchar(5), c numeric(5,2), d timestamp(3));
-- stream
insert into t values (1, 1, 'b', 1.5, '2020-01-01');
-- sync
alter table t alter a type bigint, alter b type text, alter c type numeric(10,4), alter d type timestamptz;
insert into t values (2, 9007199254740993, 'long text', 1.5, '2020-01-01 00:00+00');
-- sync
alter table t alter a type text, alter id type bigint;
insert into t values (9007199254740993, 'now text', null, null, null);
delete from t where id = 1;
