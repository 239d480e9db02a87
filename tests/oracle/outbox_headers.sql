-- Further columns as headers and as the partition.
-- option transforms=outbox
-- option transforms.outbox.type=io.debezium.transforms.outbox.EventRouter
-- option transforms.outbox.route.topic.replacement={prefix}.outbox.${routedByValue}
-- debezium predicates=isOutbox
-- debezium predicates.isOutbox.type=org.apache.kafka.connect.transforms.predicates.TopicNameMatches
-- debezium predicates.isOutbox.pattern=.*[.]outbox
-- debezium transforms.outbox.predicate=isOutbox
-- walferry outbox.table=[public.outbox]
-- option transforms.outbox.table.fields.additional.placement=type:header:eventType,at:header,n:header:number,ok:header,p:partition,gone:header
-- option transforms.outbox.table.field.additional.missing=ignore
-- debezium topic.creation.default.partitions=3
-- walferry topics.partitions=3
create table outbox (id uuid primary key, aggregatetype varchar(255) not null, aggregateid varchar(255) not null, type varchar(255) not null, payload jsonb, at timestamptz, n numeric(10,2), ok boolean, p int);
-- stream
insert into outbox values ('00000000-0000-7000-8000-000000000001', 'order', '1', 'OrderCreated', '{}', '2026-01-02 03:04:05+00', null, true, 2), ('00000000-0000-7000-8000-000000000002', 'order', '2', 'Two words', '{}', null, null, false, 1), ('00000000-0000-7000-8000-000000000003', 'order', '3', 'x', '{}', null, null, null, null);
