"""Turns a rendered overlay into pods for podman's `play kube`.

usage: kubectl kustomize OVERLAY | pods.py >MANIFEST

Templates of StatefulSets and Deployments become pods, with the names of a StatefulSet's pods, and
claims. Commands, arguments, environment, users, rights, limits and mounts stay as they are. podman
(4.3) lacks three features, which change here: it does not decode Secrets, so they become
ConfigMaps; it has no gRPC probes; and pods share the machine's network and names, so they publish
no ports.
"""

import base64
import sys

import yaml


def pods(controller):
    """Yields a pod and its claims for each replica of the controller."""
    name, spec = controller["metadata"]["name"], controller["spec"]
    for number in range(spec["replicas"]):
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": f"{name}-{number}"}}
        pod["spec"] = yaml.safe_load(yaml.safe_dump(spec["template"]["spec"]))
        for claim in spec.get("volumeClaimTemplates", []):
            volume = claim["metadata"]["name"]
            full = f"{volume}-{name}-{number}"
            yield {
                "apiVersion": "v1",
                "kind": "PersistentVolumeClaim",
                "metadata": {"name": full},
                "spec": claim["spec"],
            }
            pod["spec"]["volumes"].append(
                {"name": volume, "persistentVolumeClaim": {"claimName": full}}
            )
        # Otherwise a drained worker would start again.
        pod["spec"] |= {"hostNetwork": True, "restartPolicy": "OnFailure"}
        for volume in pod["spec"]["volumes"]:
            if "secret" in volume:
                volume["configMap"] = {"name": volume.pop("secret")["secretName"]}
        for container in pod["spec"]["containers"]:
            for field in ("startupProbe", "livenessProbe", "readinessProbe", "ports"):
                container.pop(field, None)
        yield pod


def main():
    made = []
    for document in yaml.safe_load_all(sys.stdin):
        if document["kind"] == "Secret":
            data = {
                key: base64.b64decode(value).decode() for key, value in document["data"].items()
            }
            made.append(
                {
                    "apiVersion": "v1",
                    "kind": "ConfigMap",
                    "metadata": document["metadata"],
                    "data": data,
                }
            )
        elif document["kind"] == "ConfigMap":
            made.append(document)
        elif document["kind"] in ("StatefulSet", "Deployment"):
            made.extend(pods(document))
    # Documents that others mount come first.
    made.sort(key=lambda document: document["kind"] == "Pod")
    yaml.safe_dump_all(made, sys.stdout)


main()
