-- The rows of tables of all kinds of keys in a snapshot.
-- option snapshot.mode=initial
-- option schemas.enable=true
-- volatile at
-- rows keys.sql
insert into pk values (2, 'b', 'x', 9, '2020-01-02 03:04:05.6+00');
insert into composite values (1, 'b', 'c');
insert into keyless_full values (1, 'x'), (null, null);
insert into full_pk values (1, 2, 'x');
insert into by_index values (1, 'one', 'z');
insert into "We-ird Tbl" values (1, 'x', 'é');
-- rows key_composite.sql
insert into k values (1, 'b', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '2020-01-01 00:00+00', '2020-01-01', 'v');
insert into m values (1.5, true, '\x01ff', '2020-01-02', '2020-01-02 03:04:05.678', 'ab', 5);
