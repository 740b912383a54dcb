"""Robofy's REST API, without Airflow: calls, pages, errors and the clients that make them."""
