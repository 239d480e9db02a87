-- The same with schemas.
-- option transforms=outbox
-- option transforms.outbox.type=io.debezium.transforms.outbox.EventRouter
-- option transforms.outbox.route.topic.replacement={prefix}.outbox.${routedByValue}
-- debezium predicates=isOutbox
-- debezium predicates.isOutbox.type=org.apache.kafka.connect.transforms.predicates.TopicNameMatches
-- debezium predicates.isOutbox.pattern=.*[.]outbox
-- debezium transforms.outbox.predicate=isOutbox
-- walferry outbox.table=[public.outbox]
-- option schemas.enable=true
-- option transforms.outbox.table.expand.json.payload=true
create table outbox (id uuid primary key, aggregatetype varchar(255) not null, aggregateid varchar(255) not null, type varchar(255) not null, payload jsonb);
-- stream
insert into outbox values ('00000000-0000-7000-8000-000000000001', 'order', '1', 'x', '{"b": 1, "a": {"c": "x", "d": [1, 2], "e": true, "f": 1.5, "g": 12345678901}, "h": [{"i": 1}, {"i": 2}], "n": [1, null]}'), ('00000000-0000-7000-8000-000000000002', 'order', '2', 'x', '{"a": [1, "mixed"]}');
