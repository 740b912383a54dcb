"""Apache Airflow provider for Robofy, host of AI chat agents."""

__version__ = "0.1.0"
