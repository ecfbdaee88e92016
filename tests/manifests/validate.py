"""Compares documents with the strict schemas of Kubernetes.

Standard input is JSON, {VERSION: [DOCUMENT]}; standard output is {VERSION: [PROBLEM]}.
"""

import json
import sys

import kubernetes_validate
from kubernetes_validate import SchemaNotFoundError, ValidationError


def problem_of(document: dict, version: str) -> str | None:
    try:
        # The validator silently takes an older schema for an unknown version.
        used = kubernetes_validate.validate(document, version, strict=True)
        return None if used == version else f"compared with {used}"
    except SchemaNotFoundError as error:
        return error.message
    except ValidationError as error:
        return f"{'.'.join(map(str, error.absolute_path))}: {error.message}"


def problems_of(documents: list[dict], version: str) -> list[str]:
    found = ((document, problem_of(document, version)) for document in documents)
    return [
        f"{document['kind']} {document['metadata']['name']}: {problem}"
        for document, problem in found
        if problem
    ]


wanted = json.load(sys.stdin)
json.dump(
    {version: problems_of(documents, version) for version, documents in wanted.items()}, sys.stdout
)
