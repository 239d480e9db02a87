-- Many tables in one topic (ByLogicalTableRouter), with the key telling them apart.
-- option schemas.enable=true
-- option transforms=route
-- option transforms.route.type=io.debezium.transforms.ByLogicalTableRouter
-- option transforms.route.topic.regex=(.*)orders_shard_(.*)
-- option transforms.route.topic.replacement=$1all_orders
create table orders_shard_1 (id int primary key, v text);
create table orders_shard_2 (id int primary key, v text);
create table orders_shard_x (v text);
create table other (id int primary key);
-- stream
begin;
insert into orders_shard_1 values (1, 'x');
insert into orders_shard_2 values (1, 'y');
insert into orders_shard_x values ('z');
insert into other values (1);
update orders_shard_1 set id = 2;
delete from orders_shard_2;
commit;
