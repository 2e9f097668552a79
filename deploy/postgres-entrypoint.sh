#!/bin/sh
# What the official image of PostgreSQL does at its first start, as far as it is used here.
set -eu
if [ ! -s "$PGDATA/PG_VERSION" ]; then
    umask 077
    printf '%s\n' "${POSTGRES_PASSWORD:?is not set}" > /tmp/password
    initdb --username=postgres --pwfile=/tmp/password --encoding=UTF8 --locale=C.UTF-8 \
        --auth-local=trust --auth-host=scram-sha-256
    rm /tmp/password
    echo "host all all all scram-sha-256" >> "$PGDATA/pg_hba.conf"
    # Nobody comes over TCP before all is there.
    pg_ctl start --wait --options="-c listen_addresses='' -c unix_socket_directories=/tmp"
    psql --username=postgres --command="CREATE DATABASE \"$POSTGRES_DB\""
    for script in /docker-entrypoint-initdb.d/*.sh; do
        sh "$script"
    done
    pg_ctl stop --wait --mode=fast
fi
exec postgres -c "listen_addresses=*" -c unix_socket_directories=/tmp
