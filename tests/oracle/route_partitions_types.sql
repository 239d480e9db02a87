-- Partitions by values of many types.
-- option transforms=partition
-- option transforms.partition.type=io.debezium.transforms.partitions.PartitionRouting
-- option transforms.partition.partition.payload.fields=change.s,change.l,change.b,change.d,change.r,change.n,change.t,change.y,change.u,change.day,change.at,change.z,change.list,change.words,op,source.schema
-- option transforms.partition.partition.topic.num=7
-- debezium topic.creation.default.partitions=7
-- walferry topics.partitions=7
-- option tombstones.on.delete=false
create table t (id int primary key, s smallint, l bigint, b boolean, d double precision, r real, n numeric(12,2),
  t text, y bytea, u uuid, day date, at timestamp, z timestamptz, list int[], words text[]);
alter table t replica identity full;
create table other (id int primary key);
-- stream
insert into t select g, -g, g * 10000000000, g % 2 = 0, g / 7.0, g / 3.0, -g * 1.25, 'řádek ' || g || ' 😀', decode(md5(g::text), 'hex'),
  md5(g::text)::uuid, date '2020-01-01' + g, timestamp '2020-01-01' + g * interval '1 hour 1 microsecond',
  timestamptz '2020-01-01 00:00Z' + g * interval '1 minute', array[g, null, -g], array['a' || g, null, 'b,"c']
  from generate_series(1, 30) g;
insert into t (id, t) values (31, ''), (32, null), (33, 'x');
update t set l = -l where id % 4 = 0;
delete from t where id % 9 = 0;
insert into other values (1), (2);
truncate t;
