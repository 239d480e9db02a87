-- One topic's records by a field's hash over partitions.
-- option transforms=partition
-- option transforms.partition.type=io.debezium.transforms.partitions.PartitionRouting
-- option transforms.partition.partition.payload.fields=change.region
-- option transforms.partition.partition.topic.num=3
-- debezium topic.creation.default.partitions=3
-- walferry topics.partitions=3
-- option tombstones.on.delete=false
create table t (id int primary key, region text, n int);
alter table t replica identity full;
-- stream
insert into t select g, 'region' || g % 5, g from generate_series(1, 20) g;
update t set n = 0 where id % 7 = 0;
delete from t where id = 3;
