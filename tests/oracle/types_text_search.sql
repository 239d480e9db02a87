-- tsvector and xml, json kept as written.
-- option schemas.enable=true
create table t (id int primary key, v tsvector, vn tsvector not null, x xml, xn xml not null, j json, jb jsonb, ja json[]);
-- stream
insert into t values (1, 'the fat cat:3A', to_tsvector('simple', 'it''s a \ "quote"'), '<a b="c">é</a>', '<?xml version="1.0"?><x/>', '{"a" : 1,"a":2 }', '{"a" : 1.10,"a":2 }', array['{"x": 1}'::json, null]);
insert into t values (2, null, '', null, '', 'null', '"\u00e9"', '{}');
delete from t where id = 1;
