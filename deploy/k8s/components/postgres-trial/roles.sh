#!/bin/sh
# A role and a schema of the same name for each service; run once, when the data is made.
set -eu
for service in player billing maintenance; do
    variable="PASSWORD_$(echo "$service" | tr '[:lower:]' '[:upper:]')"
    eval "password=\${$variable:?is not set}"
    psql --quiet --set=ON_ERROR_STOP=1 --username="${POSTGRES_USER:-postgres}" \
        --dbname="$POSTGRES_DB" --set=service="$service" --set=password="$password" <<'END'
CREATE ROLE :"service" LOGIN PASSWORD :'password';
ALTER ROLE :"service" SET search_path = :"service";
CREATE SCHEMA :"service" AUTHORIZATION :"service";
END
done
