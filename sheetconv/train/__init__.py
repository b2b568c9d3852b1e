"""The training engine: Learner, callbacks, metrics, recipes."""
