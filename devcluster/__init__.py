"""A real Kubernetes control plane on this computer, without Docker, for the demo and the tests.

etcd, the API server, the controller manager and the scheduler are built from source; kwok plays
the kubelet of GPU nodes that exist only as objects. Everything listens on loopback and keeps its
files in the user's cache directory. `README.md` in this folder tells how it works.

Nothing of the operator imports this package, and this package imports nothing of the operator.
"""
