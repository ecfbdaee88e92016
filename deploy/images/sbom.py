"""Writes the bill of materials of an image as CycloneDX 1.6: crates, wheels, Debian packages.

usage: cargo metadata --locked --format-version 1 --filter-platform TARGET |
       python3 -I deploy/images/sbom.py --program NAME --lock Cargo.lock --debian FILE
                                        [--wheels libtorch.sh --flavour cpu|cuda]

The parts of a program come from three places, each of which pins them by hash or version:
Cargo.lock, the table in deploy/libtorch.sh, and the base image (FILE has lines `name version
architecture`). No other tool reads all three. The output only depends on the input: it has no
random number, and its time is SOURCE_DATE_EPOCH.
"""

import argparse
import hashlib
import json
import os
import re
import sys
import tomllib
import uuid
from datetime import datetime, timezone
from urllib.parse import quote


def crates(metadata, program, checksums):
    """Returns the program and the crates that it links, each with its dependencies."""
    packages = {package["id"]: package for package in metadata["packages"]}
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    roots = [id for id in metadata["workspace_members"] if packages[id]["name"] == program]
    if len(roots) != 1:
        sys.exit(f"sbom.py: error: no package of the workspace is called `{program}`")

    def is_linked(id):
        # Macros run in the compiler, and so do the packages that only macros need.
        return not any("proc-macro" in target["kind"] for target in packages[id]["targets"])

    def linked(id):
        # A kind of null is a usual dependency; the others are for build scripts and tests.
        normal = (
            dep["pkg"]
            for dep in nodes[id]["deps"]
            if any(kind["kind"] is None for kind in dep["dep_kinds"])
        )
        return sorted(set(filter(is_linked, normal)))

    found, todo = {}, [roots[0]]
    while todo:
        id = todo.pop()
        if id not in found:
            found[id] = linked(id)
            todo += found[id]

    def reference(id):
        package = packages[id]
        return f"pkg:cargo/{package['name']}@{package['version']}"

    def component(id):
        package = packages[id]
        entry = {
            "type": "application" if id == roots[0] else "library",
            "bom-ref": reference(id),
            "name": package["name"],
            "version": package["version"],
            "purl": reference(id),
        }
        if package.get("license"):
            # Older crates separate alternatives with a slash.
            entry["licenses"] = [{"expression": package["license"].replace("/", " OR ")}]
        checksum = checksums.get((package["name"], package["version"]))
        if checksum:
            entry["hashes"] = [{"alg": "SHA-256", "content": checksum}]
        return entry

    dependencies = [
        {"ref": reference(id), "dependsOn": sorted(map(reference, deps))}
        for id, deps in found.items()
    ]
    rest = [component(id) for id in found if id != roots[0]]
    return component(roots[0]), rest, dependencies


def wheels(script, flavour):
    """Returns the rows `FLAVOUR SHA256 BYTES WHEEL LIBRARY...` of deploy/libtorch.sh."""
    row = re.compile(r"^(cpu|cuda|all) ([0-9a-f]{64}) [0-9]+ (\S+\.whl) (.+)$")
    found = [match.groups() for match in map(row.match, script.splitlines()) if match]
    components = []
    for kind, sha256, wheel, libraries in found:
        if kind in ("all", flavour):
            name, version = wheel.split("-")[:2]
            purl = f"pkg:pypi/{name.lower().replace('_', '-')}@{version}"
            components.append(
                {
                    "type": "library",
                    "bom-ref": purl,
                    "name": name,
                    "version": version,
                    "purl": purl,
                    "hashes": [{"alg": "SHA-256", "content": sha256}],
                    "properties": [{"name": "swfn:libraries", "value": libraries}],
                }
            )
    if not components:
        sys.exit(f"sbom.py: error: no wheels of flavour `{flavour}` are named")
    return components


def debian(lines):
    """Returns the packages of the base."""
    components = []
    for line in lines.splitlines():
        name, version, architecture = line.split()
        purl = f"pkg:deb/debian/{quote(name)}@{quote(version, safe='')}?arch={architecture}"
        components.append(
            {"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl}
        )
    return components


def main():
    parser = argparse.ArgumentParser()
    for option in ("--program", "--lock", "--debian"):
        parser.add_argument(option, required=True)
    parser.add_argument("--wheels")
    parser.add_argument("--flavour")
    arguments = parser.parse_args()

    with open(arguments.lock, "rb") as file:
        locked = tomllib.load(file)["package"]
    checksums = {
        (package["name"], package["version"]): package.get("checksum") for package in locked
    }
    program, components, dependencies = crates(json.load(sys.stdin), arguments.program, checksums)
    if arguments.wheels:
        with open(arguments.wheels, encoding="utf-8") as file:
            components += wheels(file.read(), arguments.flavour)
    with open(arguments.debian, encoding="utf-8") as file:
        components += debian(file.read())
    components.sort(key=lambda component: component["bom-ref"])
    dependencies.sort(key=lambda dependency: dependency["ref"])

    when = datetime.fromtimestamp(int(os.environ.get("SOURCE_DATE_EPOCH", "0")), timezone.utc)
    bill = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"timestamp": when.strftime("%Y-%m-%dT%H:%M:%SZ"), "component": program},
        "components": components,
        "dependencies": dependencies,
    }
    digest = hashlib.sha256(json.dumps(bill, sort_keys=True).encode()).hexdigest()
    bill["serialNumber"] = f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_OID, digest)}"
    json.dump(bill, sys.stdout, indent=1, sort_keys=True)
    print()


main()
