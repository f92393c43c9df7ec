"""Writes the kept snapshots as ARM templates, which checkov can read: for `make infra-check`.

checkov's own parser for Bicep knows neither lambdas nor typed arrays and passes over such files.
"""

import json
import sys
from pathlib import Path

SCHEMA = "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#"


def main(folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    for file in Path(__file__).with_name("kept").glob("*.json"):
        resources = json.loads(file.read_text("utf-8"))["predictedResources"]
        template = {"$schema": SCHEMA, "contentVersion": "1.0.0.0", "resources": resources}
        (folder / file.name).write_text(json.dumps(template, indent=2), "utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
