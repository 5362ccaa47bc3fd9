"""Jobs on Kubernetes: an Indexed Job with its Service, a JobSet, Kubeflow's TrainJob, KubeRay's RayJob."""
