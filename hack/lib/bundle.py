#!/usr/bin/env python3
"""Writes the OLM bundle: the ClusterServiceVersion from the chart's objects, the CRD, annotations and bundle.Dockerfile.

usage: bundle VERSION CRD EXAMPLE ICON OUTPUT <objects-of-the-chart.yaml

Rights go into `permissions`, which OLM grants in the namespaces of the OperatorGroup, and over the cluster only where that
is for all namespaces. Needs python3-yaml.
"""

import base64
import json
import pathlib
import sys

import yaml

PACKAGE = "stompbroker-operator"
CHANNEL = "candidate"
# What OLM's own tools read, in the image and beside it.
ANNOTATIONS = {
    "operators.operatorframework.io.bundle.mediatype.v1": "registry+v1",
    "operators.operatorframework.io.bundle.manifests.v1": "manifests/",
    "operators.operatorframework.io.bundle.metadata.v1": "metadata/",
    "operators.operatorframework.io.bundle.package.v1": PACKAGE,
    "operators.operatorframework.io.bundle.channels.v1": CHANNEL,
    "operators.operatorframework.io.bundle.channel.default.v1": CHANNEL,
}
HEADER = "# Generated from the chart by hack/deploy; do not edit.\n"
DESCRIPTION = """\
Apply one `StompBroker` and get a multi-zone STOMP messaging tier: browsers over WebSocket and SockJS, services over STOMP/TCP, in
every zone, with TLS, tokens, destination rules, credentials that rotate without a refused login, and autoscaling. One pod can be the
broker itself; many pods relay to RabbitMQ, Artemis or ActiveMQ, or keep queues in NATS JetStream.
"""


def one(objects, kind, name=None):
    """The object of this kind, and name where there are several."""
    found = [o for o in objects if o["kind"] == kind and name in (None, o["metadata"]["name"])]
    if len(found) != 1:
        sys.exit(f"error: the chart has {len(found)} objects {kind} {name or ''}, not one")
    return found[0]


def deployment(objects):
    """The operator's Deployment as OLM has it; it looks after the namespaces that OLM was told of."""
    spec = one(objects, "Deployment")["spec"]
    container = spec["template"]["spec"]["containers"][0]
    target = {"fieldRef": {"fieldPath": "metadata.annotations['olm.targetNamespaces']"}}
    container["env"].append({"name": "STOMPBROKER_WATCH_NAMESPACES", "valueFrom": target})
    return {"name": PACKAGE, "label": dict(spec["selector"]["matchLabels"]), "spec": spec}


def service_version(objects, crd, example, icon, version):
    """The ClusterServiceVersion."""
    operator = deployment(objects)
    rules = one(objects, "ClusterRole", PACKAGE)["rules"] + one(objects, "Role", PACKAGE + "-leader-election")["rules"]
    names, served = crd["spec"]["names"], crd["spec"]["versions"]
    owned = [
        {
            "name": crd["metadata"]["name"],
            "kind": names["kind"],
            "version": served_version["name"],
            "displayName": "STOMP broker",
            "description": served_version["schema"]["openAPIV3Schema"]["description"],
            "resources": [
                {"kind": kind, "version": "v1", "name": ""}
                for kind in ["Deployment", "Service", "ConfigMap", "Secret", "NetworkPolicy", "PodDisruptionBudget"]
            ],
        }
        for served_version in served
    ]
    return {
        "apiVersion": "operators.coreos.com/v1alpha1",
        "kind": "ClusterServiceVersion",
        "metadata": {
            "name": f"{PACKAGE}.v{version}",
            "namespace": "placeholder",
            "annotations": {
                "alm-examples": json.dumps([example], indent=2),
                "capabilities": "Deep Insights",
                "categories": "Streaming & Messaging",
                "containerImage": operator["spec"]["template"]["spec"]["containers"][0]["image"],
                "description": "STOMP for browsers and services in every zone, from one manifest",
                "repository": "https://github.com/stompbroker/stompbroker",
                "support": "Stompbroker",
            },
        },
        "spec": {
            "displayName": "Stompbroker",
            "description": DESCRIPTION,
            "version": version,
            "maturity": "alpha",
            "minKubeVersion": "1.31.0",
            "keywords": ["stomp", "websocket", "messaging", "rabbitmq", "spring"],
            "provider": {"name": "Stompbroker"},
            "icon": [{"base64data": base64.b64encode(icon).decode(), "mediatype": "image/svg+xml"}],
            "links": [{"name": "Documentation", "url": "https://github.com/stompbroker/stompbroker/tree/main/docs"}],
            "installModes": [
                {"type": mode, "supported": True}
                for mode in ["OwnNamespace", "SingleNamespace", "MultiNamespace", "AllNamespaces"]
            ],
            "customresourcedefinitions": {"owned": owned},
            "install": {
                "strategy": "deployment",
                "spec": {
                    "permissions": [{"serviceAccountName": PACKAGE, "rules": rules}],
                    "deployments": [operator],
                },
            },
        },
    }


def main():
    version, crd, example, icon, output = sys.argv[1:]
    objects = [document for document in yaml.safe_load_all(sys.stdin) if document]
    crd_text = pathlib.Path(crd).read_text()
    example = yaml.safe_load(pathlib.Path(example).read_text())
    icon = pathlib.Path(icon).read_bytes()
    service = service_version(objects, yaml.safe_load(crd_text), example, icon, version)
    output = pathlib.Path(output)
    files = {
        f"bundle/manifests/{PACKAGE}.clusterserviceversion.yaml": HEADER + yaml.safe_dump(service, width=120),
        "bundle/manifests/stompbrokers.yaml": crd_text,
        "bundle/metadata/annotations.yaml": HEADER + yaml.safe_dump({"annotations": ANNOTATIONS}),
        "bundle.Dockerfile": HEADER
        + "FROM scratch\n"
        + "".join(f"LABEL {key}={value}\n" for key, value in ANNOTATIONS.items())
        + "COPY bundle/manifests /manifests/\nCOPY bundle/metadata /metadata/\n",
    }
    for name, text in files.items():
        path = output / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


main()
