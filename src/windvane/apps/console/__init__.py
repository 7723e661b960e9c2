"""The console: pages and a control API for people. It reads; it never decides."""
