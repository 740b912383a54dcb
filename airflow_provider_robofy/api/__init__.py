"""Robofy's REST API, without Airflow: endpoints, the client that calls them, and errors."""
