-- Keys by configuration: other columns, several, of a table without a key.
-- option message.key.columns=public.t:v,n;public.k:y
create table t (id int primary key, v text not null, n int);
create table k (x int, y text);
alter table t replica identity full;
alter table k replica identity full;
-- stream
insert into t values (1, 'a', 1);
update t set n = 2;
update t set id = 2;
delete from t;
insert into k values (1, 'a'), (2, null);
update k set x = 3 where x = 1;
delete from k;
