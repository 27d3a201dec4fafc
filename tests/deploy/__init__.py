"""Tests of what is deployed: the image, compose, Kubernetes, nginx, Prometheus' rules and Grafana's dashboards."""
