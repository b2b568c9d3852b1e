"""The proof: verify, and the engines that recalculate."""
