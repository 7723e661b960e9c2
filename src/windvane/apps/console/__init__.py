"""The console: pages and a control API for people, who read with it and act by it, each by role."""
