#!/bin/sh
# Runs a command with the secrets that NAME_FILE variables point to in its environment, as NAME.
set -eu
for name in $(env | sed -n 's/^\([A-Za-z_][A-Za-z0-9_]*\)_FILE=.*/\1/p'); do
  eval "file=\${${name}_FILE}"
  if ! value=$(cat "$file" 2> /dev/null) || [ -z "$value" ]; then
    echo "error: ${name}_FILE is $file, which cannot be read or is empty: see docker/README.md" >&2
    exit 2
  fi
  export "$name=$value"
  unset "${name}_FILE" value
done
exec "$@"
