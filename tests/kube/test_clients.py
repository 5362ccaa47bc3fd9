"""The real clients against the API of the tests: what they create, read, watch and are refused."""

import asyncio
import threading

import kubernetes_asyncio
from kubernetes import client, watch

from builders.kube import KubernetesApi
from builders.kube.clients import client_of, refusal
from builders.kube.samples import job, jobset, pod, runtime, trainjob
from mashbill.launch.kubernetes.async_connection import TLS_SECONDS


def test_job_comes_back_with_what_the_server_gives_it(api: KubernetesApi) -> None:
    batch = client.BatchV1Api(client_of(api))
    made = batch.create_namespaced_job("default", job("train"))
    assert made.metadata.uid
    assert made.metadata.generation == 1
    assert (made.spec.completions, made.spec.parallelism, made.spec.backoff_limit) == (1, 1, 6)
    labels = {"batch.kubernetes.io/controller-uid": made.metadata.uid}
    assert made.spec.selector.match_labels == labels
    assert made.spec.template.metadata.labels["batch.kubernetes.io/job-name"] == "train"
    read = batch.read_namespaced_job("train", "default")
    assert read.to_dict() == made.to_dict()


def test_second_of_a_name_is_refused_as_already_there(api: KubernetesApi) -> None:
    batch = client.BatchV1Api(client_of(api))
    batch.create_namespaced_job("default", job("train"))
    told = refusal(batch.create_namespaced_job, "default", job("train"))
    assert told == (409, "AlreadyExists", 'jobs.batch "train" already exists')


def test_what_is_not_there_is_told_in_the_servers_words(api: KubernetesApi) -> None:
    core = client.CoreV1Api(client_of(api))
    told = refusal(core.read_namespaced_pod, "lost", "default")
    assert told == (404, "NotFound", 'pods "lost" not found')
    told = refusal(core.create_namespaced_pod, "nowhere", pod("a"))
    assert told == (404, "NotFound", 'namespaces "nowhere" not found')


def test_unknown_field_is_refused_wherever_it_is(api: KubernetesApi) -> None:
    clients = client_of(api)
    batch, custom = client.BatchV1Api(clients), client.CustomObjectsApi(clients)
    broken = job("train")
    broken["spec"]["template"]["spec"]["containers"][0]["imagined"] = 1
    told = refusal(batch.create_namespaced_job, "default", broken)
    field = "spec.template.spec.containers[0].imagined"
    words = f'Job in version "v1" cannot be handled as a Job: strict decoding error: unknown field "{field}"'
    assert told == (400, "BadRequest", words)
    place = ("jobset.x-k8s.io", "v1alpha2", "default", "jobsets")
    code, _, message = refusal(custom.create_namespaced_custom_object, *place, jobset("set", imagined=1))
    assert (code, message.rpartition(": ")[2]) == (400, 'unknown field "spec.imagined"')


def test_jobset_and_trainjob_are_served(api: KubernetesApi) -> None:
    custom = client.CustomObjectsApi(client_of(api))
    place = ("jobset.x-k8s.io", "v1alpha2", "default", "jobsets")
    made = custom.create_namespaced_custom_object(*place, jobset("set"))
    assert made["spec"]["network"]["enableDNSHostnames"] is True
    assert made["spec"]["replicatedJobs"][0]["template"]["spec"]["completionMode"] == "Indexed"
    trainer = ("trainer.kubeflow.org", "v1alpha1", "default", "trainjobs")
    code, _, message = refusal(custom.create_namespaced_custom_object, *trainer, trainjob("train"))
    assert code == 403
    assert message.startswith(
        'admission webhook "validator.trainjob.trainer.kubeflow.org" denied the request'
    )
    api.put(runtime())
    custom.create_namespaced_custom_object(*trainer, trainjob("train"))
    status = {"status": {"conditions": [], "jobsStatus": []}}
    custom.patch_namespaced_custom_object_status(*trainer, "train", status)
    read = custom.get_namespaced_custom_object(*trainer, "train")
    assert read["status"] == status["status"]
    assert read["metadata"]["generation"] == 1


def test_watch_tells_changes_as_they_come(api: KubernetesApi) -> None:
    core = client.CoreV1Api(client_of(api))
    core.create_namespaced_pod("default", pod("first"))

    def act() -> None:
        core.patch_namespaced_pod_status("first", "default", {"status": {"phase": "Running"}})
        core.create_namespaced_pod("default", pod("second"))
        core.delete_namespaced_pod("first", "default")

    seen = []
    watching = watch.Watch()
    for event in watching.stream(core.list_namespaced_pod, "default"):
        if not seen:
            thread = threading.Thread(target=act)
            thread.start()
        seen.append((event["type"], event["object"].metadata.name, event["object"].status.phase))
        if event["type"] == "DELETED":
            watching.stop()
    thread.join()
    assert seen == [
        ("ADDED", "first", "Pending"),
        ("MODIFIED", "first", "Running"),
        ("ADDED", "second", "Pending"),
        ("DELETED", "first", "Running"),
    ]


def test_asyncio_client_creates_and_watches(api: KubernetesApi) -> None:
    async def run() -> list[tuple[str, str]]:
        configuration = kubernetes_asyncio.client.Configuration(host=api.url)
        configuration.ssl_ca_cert = str(api.certificate)
        configuration.api_key["BearerToken"] = f"Bearer {api.token}"
        async with kubernetes_asyncio.client.ApiClient(configuration) as clients:
            batch = kubernetes_asyncio.client.BatchV1Api(clients)
            await batch.create_namespaced_job("default", job("train"))
            seen = []
            async with kubernetes_asyncio.watch.Watch() as watching:
                async for event in watching.stream(batch.list_namespaced_job, "default"):
                    seen.append((event["type"], event["object"].metadata.name))
                    if event["type"] == "DELETED":
                        break
                    await batch.delete_namespaced_job("train", "default", propagation_policy="Background")
        await asyncio.sleep(TLS_SECONDS)
        return seen

    assert asyncio.run(run()) == [("ADDED", "train"), ("DELETED", "train")]


def test_unknown_field_is_left_out_with_a_warning_where_that_is_asked_for(
    api: KubernetesApi, batch: client.BatchV1Api
) -> None:
    made, _, headers = batch.create_namespaced_job_with_http_info(
        "default", job("train", imagined=1), field_validation="Warn"
    )
    assert headers["Warning"] == '299 - "unknown field \\"spec.imagined\\""'
    assert "imagined" not in api.get("jobs.batch", made.metadata.name, "default")["spec"]
    _, _, headers = batch.create_namespaced_job_with_http_info(
        "default", job("other", imagined=1), field_validation="Ignore"
    )
    assert "Warning" not in headers
