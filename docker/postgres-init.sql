-- Beside the database of the studies, which the image itself creates.
CREATE DATABASE mlflow;
CREATE DATABASE mlflow_auth;
