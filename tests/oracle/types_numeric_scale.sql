-- A negative scale, and one beyond the precision.
-- needs postgres >= 15
-- option decimal.handling.mode=string
create table n (id int primary key, n numeric(5,-2), f numeric(3,5));
-- stream
insert into n values (1, 12345, 0.00123), (2, -99999, -0.00999), (3, null, null);
