//! Types that every database has, by oid: what is in their arrays, and their names (Postgres source: `pg_type.dat`).

/// The element's type of a built-in array, and what stands between two elements.
pub(super) fn element(oid: u32) -> Option<(u32, u8)> {
    if oid == BOXES {
        return Some((BOX, b';'));
    }
    let found = ELEMENTS.binary_search_by_key(&oid, |(array, _)| *array);
    let (_, element) = ELEMENTS.get(found.ok()?)?;
    Some((*element, b','))
}

const BOX: u32 = 603;
const BOXES: u32 = 1020;

/// Array and element, by array.
const ELEMENTS: &[(u32, u32)] = &[
    (143, 142),   // xml
    (199, 114),   // json
    (271, 5069),  // xid8
    (629, 628),   // line
    (651, 650),   // cidr
    (719, 718),   // circle
    (775, 774),   // macaddr8
    (791, 790),   // money
    (1000, 16),   // bool
    (1001, 17),   // bytea
    (1002, 18),   // "char"
    (1003, 19),   // name
    (1005, 21),   // int2
    (1006, 22),   // int2vector
    (1007, 23),   // int4
    (1008, 24),   // regproc
    (1009, 25),   // text
    (1010, 27),   // tid
    (1011, 28),   // xid
    (1012, 29),   // cid
    (1013, 30),   // oidvector
    (1014, 1042), // bpchar
    (1015, 1043), // varchar
    (1016, 20),   // int8
    (1017, 600),  // point
    (1018, 601),  // lseg
    (1019, 602),  // path
    (1021, 700),  // float4
    (1022, 701),  // float8
    (1027, 604),  // polygon
    (1028, 26),   // oid
    (1034, 1033), // aclitem
    (1040, 829),  // macaddr
    (1041, 869),  // inet
    (1115, 1114), // timestamp
    (1182, 1082), // date
    (1183, 1083), // time
    (1185, 1184), // timestamptz
    (1187, 1186), // interval
    (1231, 1700), // numeric
    (1270, 1266), // timetz
    (1561, 1560), // bit
    (1563, 1562), // varbit
    (2201, 1790), // refcursor
    (2207, 2202), // regprocedure
    (2208, 2203), // regoper
    (2209, 2204), // regoperator
    (2210, 2205), // regclass
    (2211, 2206), // regtype
    (2949, 2970), // txid_snapshot
    (2951, 2950), // uuid
    (3221, 3220), // pg_lsn
    (3643, 3614), // tsvector
    (3645, 3615), // tsquery
    (3735, 3734), // regconfig
    (3770, 3769), // regdictionary
    (3807, 3802), // jsonb
    (3905, 3904), // int4range
    (3907, 3906), // numrange
    (3909, 3908), // tsrange
    (3911, 3910), // tstzrange
    (3913, 3912), // daterange
    (3927, 3926), // int8range
    (4073, 4072), // jsonpath
    (4090, 4089), // regnamespace
    (4097, 4096), // regrole
    (4192, 4191), // regcollation
    (5039, 5038), // pg_snapshot
    (6150, 4451), // int4multirange
    (6151, 4532), // nummultirange
    (6152, 4533), // tsmultirange
    (6153, 4534), // tstzmultirange
    (6155, 4535), // datemultirange
    (6157, 4536), // int8multirange
];

/// `pg_type.typname` of a built-in type that is no array.
pub(crate) fn name(oid: u32) -> Option<&'static str> {
    let found = NAMES.binary_search_by_key(&oid, |(oid, _)| *oid);
    NAMES.get(found.ok()?).map(|(_, name)| *name)
}

/// By oid.
const NAMES: &[(u32, &str)] = &[
    (16, "bool"),
    (17, "bytea"),
    (18, "char"),
    (19, "name"),
    (20, "int8"),
    (21, "int2"),
    (22, "int2vector"),
    (23, "int4"),
    (24, "regproc"),
    (25, "text"),
    (26, "oid"),
    (27, "tid"),
    (28, "xid"),
    (29, "cid"),
    (30, "oidvector"),
    (114, "json"),
    (142, "xml"),
    (600, "point"),
    (601, "lseg"),
    (602, "path"),
    (603, "box"),
    (604, "polygon"),
    (628, "line"),
    (650, "cidr"),
    (700, "float4"),
    (701, "float8"),
    (718, "circle"),
    (774, "macaddr8"),
    (790, "money"),
    (829, "macaddr"),
    (869, "inet"),
    (1033, "aclitem"),
    (1042, "bpchar"),
    (1043, "varchar"),
    (1082, "date"),
    (1083, "time"),
    (1114, "timestamp"),
    (1184, "timestamptz"),
    (1186, "interval"),
    (1266, "timetz"),
    (1560, "bit"),
    (1562, "varbit"),
    (1700, "numeric"),
    (1790, "refcursor"),
    (2202, "regprocedure"),
    (2203, "regoper"),
    (2204, "regoperator"),
    (2205, "regclass"),
    (2206, "regtype"),
    (2950, "uuid"),
    (2970, "txid_snapshot"),
    (3220, "pg_lsn"),
    (3614, "tsvector"),
    (3615, "tsquery"),
    (3734, "regconfig"),
    (3769, "regdictionary"),
    (3802, "jsonb"),
    (3904, "int4range"),
    (3906, "numrange"),
    (3908, "tsrange"),
    (3910, "tstzrange"),
    (3912, "daterange"),
    (3926, "int8range"),
    (4072, "jsonpath"),
    (4089, "regnamespace"),
    (4096, "regrole"),
    (4191, "regcollation"),
    (4451, "int4multirange"),
    (4532, "nummultirange"),
    (4533, "tsmultirange"),
    (4534, "tstzmultirange"),
    (4535, "datemultirange"),
    (4536, "int8multirange"),
    (5038, "pg_snapshot"),
    (5069, "xid8"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrays_are_found() {
        assert!(ELEMENTS.is_sorted() && NAMES.is_sorted());
        for (_, element) in ELEMENTS {
            assert!(name(*element).is_some(), "{element}");
        }
        assert_eq!(element(1007), Some((23, b',')));
        assert_eq!(element(BOXES), Some((BOX, b';')));
        assert_eq!(element(23), None);
    }
}
