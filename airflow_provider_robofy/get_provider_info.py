"""The provider's metadata for Airflow: pure data. Airflow reads it at every start, so it imports nothing."""


def get_provider_info() -> dict:  # type: ignore[type-arg]  # dict[str, Any] would need an import
    """Return the provider's metadata in the form of Airflow's provider_info schema."""
    text = {"type": ["string", "null"]}
    # JSON may have been stored as an object or as its text; Airflow's form shows and keeps either.
    json = {"type": ["object", "string", "null"]}
    number = {"type": ["integer", "null"], "minimum": 1, "section": "Timeouts and limits"}
    order = {"type": ["string", "null"], "enum": ["unknown", "newest_first"], "default": "unknown"}
    assets = {
        "schemes": ["robofy"],
        "handler": "airflow_provider_robofy.assets.robofy.sanitize_uri",
        "to_openlineage_converter": "airflow_provider_robofy.assets.robofy.convert_asset_to_openlineage",
    }

    def field(label: str, schema: dict, description: str) -> dict:  # type: ignore[type-arg]
        return {"label": label, "schema": schema, "description": description}

    fields = {
        "project_id": field("Project id", text, "Default for every operator."),
        "chatbot_id": field("Agent (chatbot) id", text, "Default for every operator."),
        "timezone": field(
            "Time zone",
            text,
            "Zone of Robofy's timestamps, which carry none: an IANA name such as Europe/Berlin. Default UTC.",
        ),
        "leads_order": field(
            "Order of leads",
            order,
            "newest_first if Robofy lists this account's newest leads first: reads of a "
            "window or cursor then stop early. Default unknown.",
        ),
        "sessions_order": field("Order of sessions", order, "The same for inbox sessions."),
        "connect_timeout": field("Connect timeout (s)", number, "Seconds to wait for a connection. Default 5."),
        "read_timeout": field("Read timeout (s)", number, "Seconds to wait for the next bytes. Default 30."),
        "total_timeout": field("Total timeout (s)", number, "Seconds for one call with all its retries. Default 300."),
        "max_attempts": field("Attempts per call", number, "Default 5."),
        "max_response_mb": field("Largest answer (MB)", number, "Default 64."),
        "max_parallel_pages": field(
            "Pages at a time", {**number, "maximum": 32}, "Default 8; 1 asks for one page after another."
        ),
        "requests_per_minute": field(
            "Requests per minute", number, "Budget of each process. Default none; across tasks, use a pool."
        ),
        "endpoints": field(
            "Endpoint paths (JSON)",
            json,
            "Endpoint name to path template, where this account differs, such as "
            '{"list_leads": "/v2/leads/{project_id}/{chatbot_id}"}.',
        ),
        "pseudonym_secret": field(
            "Pseudonym secret",
            {"type": ["string", "null"], "format": "password"},
            "Secret key of the hash that replaces personal data; 16 characters or more.",
        ),
        "privacy": field("Privacy policy (JSON)", json, "Field to keep, drop or hash, for every fetch operator."),
    }
    return {
        "package-name": "airflow-provider-robofy",
        "name": "Robofy",
        "description": "`Robofy <https://www.robofy.ai/>`__ hosts AI chat agents.",
        "integrations": [
            {
                "integration-name": "Robofy",
                "external-doc-url": "https://docs.robofy.ai/",
                "tags": ["service"],
            }
        ],
        "hooks": [
            {"integration-name": "Robofy", "python-modules": ["airflow_provider_robofy.hooks.robofy"]},
        ],
        "operators": [
            {
                "integration-name": "Robofy",
                "python-modules": [
                    "airflow_provider_robofy.operators.ask",
                    "airflow_provider_robofy.operators.crawl",
                    "airflow_provider_robofy.operators.cursors",
                    "airflow_provider_robofy.operators.inbox",
                    "airflow_provider_robofy.operators.knowledge",
                    "airflow_provider_robofy.operators.leads",
                    "airflow_provider_robofy.operators.snapshot",
                ],
            },
        ],
        "sensors": [
            {
                "integration-name": "Robofy",
                "python-modules": [
                    "airflow_provider_robofy.sensors.inbox",
                    "airflow_provider_robofy.sensors.knowledge",
                    "airflow_provider_robofy.sensors.leads",
                ],
            },
        ],
        "transfers": [
            {
                "how-to-guide": "/docs/warehouse.md",
                "source-integration-name": "Robofy",
                "target-integration-name": "Common SQL",
                "python-module": "airflow_provider_robofy.transfers.manifest_to_sql",
            },
        ],
        "triggers": [
            {
                "integration-name": "Robofy",
                "python-modules": [
                    "airflow_provider_robofy.triggers.inbox",
                    "airflow_provider_robofy.triggers.knowledge",
                    "airflow_provider_robofy.triggers.leads",
                ],
            },
        ],
        # Airflow 3 reads the first, 2.11 the second.
        "asset-uris": [dict(assets)],
        "dataset-uris": [dict(assets)],
        "connection-types": [
            {
                "connection-type": "robofy",
                "hook-class-name": "airflow_provider_robofy.hooks.robofy.RobofyHook",
                "hook-name": "Robofy",
                "ui-field-behaviour": {
                    "hidden-fields": ["login", "schema", "port", "extra"],
                    "relabeling": {"host": "Base URL", "password": "API key"},
                    "placeholders": {
                        "host": "https://agents.robofy.ai",
                        "password": "Permanent key from Robofy's dashboard",
                        "timezone": "UTC",
                        "endpoints": '{"list_leads": "/v1/ai-agent/leads/{project_id}/{chatbot_id}"}',
                        "privacy": '{"ip_address": "drop", "lead_data.email": "hash", "lead_data.*": "keep"}',
                    },
                },
                "conn-fields": fields,
            }
        ],
        "config": {
            "robofy": {
                "description": "Settings of the Robofy provider.",
                "options": {
                    "landing_root": {
                        "description": "Folder or bucket under which fetch operators land what has no output_path. "
                        "Anything that Airflow's ObjectStoragePath opens, with the connection before an @ if it "
                        "needs one.",
                        "version_added": "0.1.0",
                        "type": "string",
                        "example": "s3://aws_default@my-bucket/robofy",
                        "default": "",
                    }
                },
            }
        },
    }
