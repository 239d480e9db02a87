-- Addresses and their arrays.
-- option schemas.enable=true
create table n (id int primary key, i inet, c cidr, m macaddr, m8 macaddr8, ia inet[], ca cidr[], ma macaddr[], m8a macaddr8[]);
-- stream
insert into n values (1, '192.168.2.1', '10.0.0.0/8', '08:00:2b:01:02:03', '08:00:2b:01:02:03:04:05', '{::1,NULL,10.0.0.1/8}', '{::/0}', '{08:00:2b:01:02:03}', '{}');
insert into n values (2, '::ffff:1.2.3.4/96', '2001:db8::/32', null, null, null, null, null, null);
