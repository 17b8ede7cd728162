"""Traces, metrics and logs that cannot hold content. The only importer of opentelemetry and prometheus_client."""
