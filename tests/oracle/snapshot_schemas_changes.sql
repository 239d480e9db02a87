-- Schemas of rows that are there and of their changes, with columns that only one of both could have.
-- option schemas.enable=true
-- option snapshot.mode=initial
-- rows schemas.sql
insert into several values ('x', 1, 'v');
insert into keyless values (1), (null);
delete from "We-ird Tbl";
insert into "We-ird Tbl" values (2, null, null);
-- stream
update everything set i2 = 5;
update several set v = 'w';
delete from several;
delete from "We-ird Tbl";
