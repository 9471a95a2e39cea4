"""The trio shell: listeners, connections, the gate that every request passes, and the drivers of the pure cores."""
