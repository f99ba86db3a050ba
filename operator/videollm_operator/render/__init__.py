"""Plan and spec to Kubernetes manifests."""
