"""The background thread that owns the queue (`manager`), what follows runs at work (`follower`), and the executors."""
