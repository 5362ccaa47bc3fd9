"""The mixture search: stages that bring proxies and regression together, from a plan to a gate."""
