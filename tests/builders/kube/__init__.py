"""A strict Kubernetes API for tests, in this process and over HTTP.

It stores, validates and answers as the real server does; it runs nothing: what a Job's pods are and do is for
controllers that speak to it.
"""

from builders.kube.api import KubernetesApi, kubernetes_api

__all__ = ["KubernetesApi", "kubernetes_api"]
