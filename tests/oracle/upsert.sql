-- ON CONFLICT, MERGE-like updates, COPY-like inserts, defaults.
create table t (id int primary key, v text default 'dflt', n int default 1);
-- stream
insert into t values (1, 'a', 1) on conflict (id) do update set n = t.n + 1;
insert into t values (1, 'a', 1) on conflict (id) do update set n = t.n + 1;
insert into t values (1) on conflict do nothing;
insert into t (id) values (2);
with moved as (delete from t where id = 2 returning *) insert into t select id + 10, v, n from moved;
