"""Uploads files as knowledge of an agent, each once, and reads how a crawl is going. Imports no Airflow."""
