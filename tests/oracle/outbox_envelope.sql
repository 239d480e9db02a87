-- Further columns beside the payload.
-- option transforms=outbox
-- option transforms.outbox.type=io.debezium.transforms.outbox.EventRouter
-- option transforms.outbox.route.topic.replacement={prefix}.outbox.${routedByValue}
-- debezium predicates=isOutbox
-- debezium predicates.isOutbox.type=org.apache.kafka.connect.transforms.predicates.TopicNameMatches
-- debezium predicates.isOutbox.pattern=.*[.]outbox
-- debezium transforms.outbox.predicate=isOutbox
-- walferry outbox.table=[public.outbox]
-- option transforms.outbox.table.fields.additional.placement=type:envelope:eventType,n:envelope
create table outbox (id uuid primary key, aggregatetype varchar(255) not null, aggregateid varchar(255) not null, type varchar(255) not null, payload jsonb, n int);
-- stream
insert into outbox values ('00000000-0000-7000-8000-000000000001', 'order', '1', 'OrderCreated', '{"a": 1}', 5), ('00000000-0000-7000-8000-000000000002', 'order', '1', 'OrderGone', null, null);
