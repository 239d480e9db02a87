-- Many tables into one topic, the key made unique.
-- option transforms=route
-- option transforms.route.type=io.debezium.transforms.ByLogicalTableRouter
-- option transforms.route.topic.regex=(.*)orders_(.*)
-- option transforms.route.topic.replacement=$1orders
create table orders_1 (id int primary key, v text);
create table orders_2 (id int primary key, v text);
create table other (id int primary key, v text);
-- stream
insert into orders_1 values (1, 'a'), (2, 'b');
insert into orders_2 values (1, 'c');
insert into other values (1, 'd');
update orders_1 set id = 3 where id = 2;
delete from orders_2;
