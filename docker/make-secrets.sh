#!/bin/sh
# Writes the secrets of compose.yaml that do not exist yet into docker/secrets, each a random text.
set -eu
cd "$(dirname "$0")"
mkdir -p secrets
# Others cannot enter the folder; the files themselves must be readable for the containers' users.
chmod 700 secrets
for name in ray_token postgres_password mlflow_password mlflow_secret_key; do
  if [ ! -s "secrets/$name" ]; then
    head -c 32 /dev/urandom | od -An -tx1 | tr -d ' \n' > "secrets/$name"
    chmod 444 "secrets/$name"
  fi
done
