"""How files become knowledge of an agent, each once, and how a crawl is waited for. Knows no Airflow."""
