"""How rows become a landed, counted result, without Airflow."""
