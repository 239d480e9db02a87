-- Other names, and columns of other types.
-- option transforms=outbox
-- option transforms.outbox.type=io.debezium.transforms.outbox.EventRouter
-- option transforms.outbox.route.topic.replacement={prefix}.outbox.${routedByValue}
-- debezium predicates=isOutbox
-- debezium predicates.isOutbox.type=org.apache.kafka.connect.transforms.predicates.TopicNameMatches
-- debezium predicates.isOutbox.pattern=.*[.]outbox
-- debezium transforms.outbox.predicate=isOutbox
-- walferry outbox.table=[public.outbox]
-- option transforms.outbox.table.field.event.id=event_id
-- option transforms.outbox.table.field.event.key=subject
-- option transforms.outbox.table.field.event.payload=body
-- option transforms.outbox.route.by.field=topic
create table outbox (event_id bigint primary key, topic text not null, subject uuid not null, body bytea);
-- stream
insert into outbox values (7, 'a', '00000000-0000-7000-8000-000000000001', '\xdeadbeef'), (8, 'b', '00000000-0000-7000-8000-000000000002', '\x');
