-- Columns are added: nullable, with a default, NOT NULL with a default, generated.
create table t (id int primary key, a text);
-- stream
insert into t values (1, 'a');
-- sync
alter table t add b int;
insert into t values (2, 'b', 2);
-- sync
alter table t add c text not null default 'dflt', add d numeric(5,2) default 1.5;
insert into t (id) values (3);
update t set a = 'x' where id = 1;
delete from t where id = 2;
