#!/bin/sh
# Records the cases named (all *.sql without arguments) from Debezium 3.6.3. Needs a JDK 17, Maven, and Postgres 15.
set -eu
cd "$(dirname "$0")"
pg=${PG_BIN:-/usr/lib/postgresql/15/bin}
work=${RECORDER_CACHE:-${TMPDIR:-/tmp}/walferry-recorder}
port=${RECORDER_PORT:-54329}
mkdir -p "$work"
[ -d "$work/libs" ] || mvn -q -B -f pom.xml dependency:copy-dependencies -DoutputDirectory="$work/libs"
javac -cp "$work/libs/*" -d "$work/classes" Recorder.java
data=$(mktemp -d /tmp/recorder-pg.XXXXXX)
as_owner() { if [ "$(id -u)" = 0 ]; then runuser -u postgres -- "$@"; else "$@"; fi; }
[ "$(id -u)" = 0 ] && chown postgres "$data"
trap 'exit 1' INT TERM
trap 'as_owner "$pg/pg_ctl" -D "$data/d" -m immediate stop >/dev/null 2>&1; rm -rf "$data"' EXIT
as_owner "$pg/initdb" -D "$data/d" -U postgres -A trust -E UTF8 --locale=C >/dev/null
as_owner "$pg/pg_ctl" -D "$data/d" -w -l "$data/log" start -o "-p $port -k $data -c wal_level=logical -c fsync=off \
  -c max_wal_senders=8 -c max_replication_slots=8 -c timezone=UTC" >/dev/null
[ $# -gt 0 ] || set -- *.sql
java -Dorg.slf4j.simpleLogger.defaultLogLevel=${RECORDER_LOG:-error} -Duser.timezone=UTC \
  -cp "$work/classes:$work/libs/*" Recorder "$port" "$@"
