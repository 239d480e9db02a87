-- The rows of types that Debezium leaves out or has another form of, in a snapshot.
-- option snapshot.mode=initial
-- needs postgres >= 15
-- rows types_arrays_deep.sql
create schema composite; set search_path = composite;
-- rows types_composite.sql
create schema domain_arrays; set search_path = domain_arrays;
-- rows types_domain_arrays.sql
create schema multiranges; set search_path = multiranges;
-- rows types_multiranges.sql
create schema oids; set search_path = oids;
-- rows types_oids.sql
