-- An outbox table as in Debezium's manual, beside a captured table; its rows are deleted again.
-- option transforms=outbox
-- option transforms.outbox.type=io.debezium.transforms.outbox.EventRouter
-- option transforms.outbox.route.topic.replacement={prefix}.outbox.${routedByValue}
-- debezium predicates=isOutbox
-- debezium predicates.isOutbox.type=org.apache.kafka.connect.transforms.predicates.TopicNameMatches
-- debezium predicates.isOutbox.pattern=.*[.]outbox
-- debezium transforms.outbox.predicate=isOutbox
-- walferry outbox.table=[public.outbox]
create table outbox (id uuid primary key, aggregatetype varchar(255) not null, aggregateid varchar(255) not null, type varchar(255) not null, payload jsonb);
create table orders (id int primary key, total int);
insert into outbox values ('00000000-0000-7000-8000-000000000001', 'order', '1', 'OrderCreated', '{"id": 1}');
-- stream
begin; insert into orders values (2, 20); insert into outbox values ('00000000-0000-7000-8000-000000000002', 'order', '2', 'OrderCreated', '{"id": 2, "note": null, "lines": []}'); delete from outbox where aggregateid = '2'; commit;
insert into outbox values ('00000000-0000-7000-8000-000000000003', 'customer', 'é "x"', 'CustomerSaid', '"a text"'), ('00000000-0000-7000-8000-000000000004', 'customer', 'y', 'CustomerLeft', null), ('00000000-0000-7000-8000-000000000005', 'order', '2', 'OrderShipped', '[1, "x"]');
