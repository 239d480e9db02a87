-- Other types, with schemas.
-- option transforms=outbox
-- option transforms.outbox.type=io.debezium.transforms.outbox.EventRouter
-- option transforms.outbox.route.topic.replacement={prefix}.outbox.${routedByValue}
-- debezium predicates=isOutbox
-- debezium predicates.isOutbox.type=org.apache.kafka.connect.transforms.predicates.TopicNameMatches
-- debezium predicates.isOutbox.pattern=.*[.]outbox
-- debezium transforms.outbox.predicate=isOutbox
-- walferry outbox.table=[public.outbox]
-- option schemas.enable=true
-- option transforms.outbox.table.field.event.key=subject
create table outbox (id bigint primary key, aggregatetype text not null, subject int not null, payload text not null default 'x');
-- stream
insert into outbox values (7, 'a', 1, 'plain'), (8, 'b', 2, '');
