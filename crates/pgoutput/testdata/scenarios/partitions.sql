-- Changes of partitions, published as their root's.
CREATE TABLE root (id int, region text, PRIMARY KEY (id, region)) PARTITION BY LIST (region);
CREATE TABLE leaf_a PARTITION OF root FOR VALUES IN ('a');
CREATE TABLE leaf_b PARTITION OF root FOR VALUES IN ('b');
CREATE PUBLICATION capture FOR TABLE root WITH (publish_via_partition_root = true);
-- captured
INSERT INTO root VALUES (1, 'a'), (2, 'b');
UPDATE root SET region = 'b' WHERE id = 1;
TRUNCATE root;
