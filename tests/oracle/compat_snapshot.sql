-- Debezium's very bytes of rows that are there.
-- option snapshot.mode=initial
-- walferry envelope.compatibility=debezium
-- rows types.sql
create schema arrays; set search_path = arrays;
-- rows arrays.sql
create schema bits; set search_path = bits;
-- rows types_bits_empty.sql
create schema enum_null; set search_path = enum_null;
-- rows types_enum_null_elements.sql
create schema specials; set search_path = specials;
-- rows types_numeric_special_precise.sql
create schema geometric; set search_path = geometric;
-- rows types_geometric.sql
