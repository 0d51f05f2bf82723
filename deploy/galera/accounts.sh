# Sourced by the image's entrypoint when galera-1 makes its data; the other nodes get it from there.
# shellcheck shell=bash

# Watching takes no privilege but to log in. CONNECTION ADMIN lets the monitor in when clients have used up
# max_connections: a node that is only full is not taken for a sick one. SELECT is for clients to log in with the
# cluster's own accounts and, with SHOW VIEW and TRIGGER, for what the proxy has to know of tables.
docker_process_sql <<EOF
CREATE USER monitor@'%' IDENTIFIED BY '$(docker_sql_escape_string_literal "$MONITOR_PASSWORD")';
GRANT CONNECTION ADMIN ON *.* TO monitor@'%';
GRANT SELECT, SHOW VIEW, TRIGGER ON *.* TO monitor@'%';
EOF
