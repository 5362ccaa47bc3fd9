"""Jobs on Kubernetes: an Indexed Job with a headless Service, a JobSet, Kubeflow's TrainJob."""
