"""The components of one machine: how they are started, watched and stopped."""
