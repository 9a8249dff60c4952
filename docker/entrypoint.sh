#!/bin/sh
# Runs a command with the services' secrets in its environment: what NAME_FILE points to, as NAME.
# Only these names: SSL_CERT_FILE, AWS_WEB_IDENTITY_TOKEN_FILE and their like are meant as files.
set -eu
for name in PGPASSWORD MLFLOW_TRACKING_PASSWORD MLFLOW_AUTH_ADMIN_PASSWORD \
  MLFLOW_FLASK_SERVER_SECRET_KEY; do
  eval "file=\${${name}_FILE:-}"
  if [ -z "$file" ]; then
    continue
  fi
  if ! value=$(cat "$file" 2> /dev/null) || [ -z "$value" ]; then
    echo "error: ${name}_FILE is $file, which cannot be read or is empty: see docker/README.md" >&2
    exit 2
  fi
  export "$name=$value"
  unset "${name}_FILE" value
done
exec "$@"
