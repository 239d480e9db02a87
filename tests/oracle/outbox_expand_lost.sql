-- What Debezium drops of JSON payloads.
-- option transforms=outbox
-- option transforms.outbox.type=io.debezium.transforms.outbox.EventRouter
-- option transforms.outbox.route.topic.replacement={prefix}.outbox.${routedByValue}
-- debezium predicates=isOutbox
-- debezium predicates.isOutbox.type=org.apache.kafka.connect.transforms.predicates.TopicNameMatches
-- debezium predicates.isOutbox.pattern=.*[.]outbox
-- debezium transforms.outbox.predicate=isOutbox
-- walferry outbox.table=[public.outbox]
-- option transforms.outbox.table.expand.json.payload=true
create table outbox (id uuid primary key, aggregatetype varchar(255) not null, aggregateid varchar(255) not null, type varchar(255) not null, payload jsonb);
-- stream
insert into outbox values ('00000000-0000-7000-8000-000000000001', 'order', '1', 'x', '{"a": null, "b": [], "c": 1.10, "d": [1, "x"]}'), ('00000000-0000-7000-8000-000000000002', 'order', '2', 'x', '{"a": null, "b": []}'), ('00000000-0000-7000-8000-000000000003', 'order', '3', 'x', '"text"'), ('00000000-0000-7000-8000-000000000004', 'order', '4', 'x', '17'), ('00000000-0000-7000-8000-000000000005', 'order', '5', 'x', '{"h": [{"i": 1}, {"i": 2, "j": "k"}]}');
