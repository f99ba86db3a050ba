"""Effects: work queue, API client, caches, leader election, metrics, health."""
